"""A small spoken corpus, made here: nothing to download, the same every time.

Corpus card
-----------
Speech
    eSpeak NG (formant synthesis) speaks short sentences of our own in
    English, German, French, Spanish and Italian. 28 voices train (under the
    speaker ids of VoiceBank's training set) and 2 others test (p232, p257). A
    voice is a language, a variant and a pitch; no variant occurs twice, and no
    test sentence is spoken in training. Pitch and rate change a little from
    one utterance to the next.
Noise
    Synthetic. Training: white to rumbling noise (0 to -9 dB per octave),
    speech-shaped noise, babble, 50 Hz hum, clicks, slowly modulated noise.
    Test: sirens and wind, which training never has, and other parameters or
    other background voices of the rest. Each split takes its noises by turns,
    at 0, 5, 10 and 15 dB.
Layout
    That of VoiceBank+DEMAND, unzipped; ``log_trainset_28spk.txt`` and
    ``log_testset.txt`` name each utterance's noise and SNR. Or that of
    DNS2020: speech and noise apart, and a mixed test set. Mono, 16 bits, at
    -32 to -22 dBFS RMS, lower where the mixture would clip.
What it is for
    To run every recipe in minutes and see that training works: results say
    nothing about how a method ranks on real recordings.
Rights
    Sentences and noises are part of this project. eSpeak NG is licensed under
    GPL-3.0-or-later; it is installed on demand and not part of this project.
"""

from speechbrain_dfkd.demo_corpus.corpus import (
    make_demo_corpus,
    make_dns_corpus,
)

__all__ = ["make_demo_corpus", "make_dns_corpus"]
