"""A small spoken corpus, made here; docs/real_audio.md has its corpus card."""

from speechbrain_dfkd.demo_corpus.corpus import (
    make_demo_corpus,
    make_dns_corpus,
)

__all__ = ["make_demo_corpus", "make_dns_corpus"]
