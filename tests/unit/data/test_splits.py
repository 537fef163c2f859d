"""A refused corpus leaves the whole list of its files."""

import pytest
from speechbrain.utils.epoch_loop import EpochCounter

from speechbrain_dfkd.data.dataset import (
    SharedEpochCounter,
    crop_recordings,
    open_splits,
    prepare_splits,
)
from speechbrain_dfkd.errors import UserError


@pytest.fixture
def hparams(voicebank_prepare, tmp_path):
    """Return the objects of a leaf whose corpus is in ``own``."""
    out = tmp_path / "results/data"
    return {
        "skip_prep": False,
        "data_folder": str(tmp_path / "own"),
        "prepared_folder": str(out),
        "sample_rate": 16000,
        "dataset": {
            "demo_corpus": None,
            "prepare": voicebank_prepare.prepare_voicebank,
        },
        **{f"{s}_annotation": f"{out}/{s}.json" for s in ("train", "valid")},
        "test_annotation": str(tmp_path / "own.json"),
    }


def test_the_list_is_whole_and_goes_when_the_data_are_good(
    hparams, write_noise, tmp_path
):
    pointer = "version https://git-lfs.github.com/spec/v1\n"
    for i in range(40):
        for seed, side in enumerate(("clean", "noisy")):
            path = tmp_path / f"own/{side}/{i:02}.wav"
            write_noise(path, 16000, seed=i + 100 * seed)
    bad = sorted((tmp_path / "own/noisy").glob("*.wav"))[:30]
    whole = {path: path.read_bytes() for path in bad}
    for path in bad:
        path.write_text(pointer)
    listed = tmp_path / "results/data/refused_files.txt"
    with pytest.raises(UserError, match="git lfs pull") as error:
        prepare_splits(hparams)
    assert f"... 30 in all, listed in {listed}" in str(error.value)
    lines = listed.read_text().splitlines()
    assert lines[0].startswith("are Git LFS pointers")
    assert lines[1:] == list(map(str, bad))
    for path, content in whole.items():
        path.write_bytes(content)
    prepare_splits(hparams)
    assert not listed.exists()


def test_own_manifests_are_checked_together(hparams, tmp_path):
    hparams["skip_prep"] = True
    (tmp_path / "own.json").write_text('{"a": {}}')
    with pytest.raises(UserError) as error:
        prepare_splits(hparams)
    for fragment in ("train.json", "valid.json", "own.json", "a lacks"):
        assert fragment in str(error.value)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_clips_of_20_ms_are_taken_but_not_alone_to_choose_by(
    rate, hparams, write_noise, tmp_path
):
    for i in range(12):
        for seed, side in enumerate(("clean", "noisy")):
            path = tmp_path / f"own/{side}/{i:02}.wav"
            write_noise(path, rate, rate // 50, seed=i + 100 * seed)
    prepare_splits(hparams)
    hparams |= {"segment_seconds": 0.02, "seed": 0, "best_metric": "si_sdr"}
    hparams["epoch_counter"] = EpochCounter(limit=1)
    hparams["persistent_workers"] = False
    hparams["dataset"]["make_train"] = crop_recordings
    for split in open_splits(hparams).values():
        assert len(split[0]["noisy_sig"]) == 320
    hparams["best_metric"] = "pesq_wb"
    with pytest.raises(
        UserError, match=r"0\.25 s, which PESQ needs, got 0\.02"
    ):
        open_splits(hparams)
    hparams |= {"best_metric": "si_sdr", "persistent_workers": True}
    with pytest.raises(UserError, match="got <.*pass --persistent_workers"):
        open_splits(hparams)
    hparams["epoch_counter"] = SharedEpochCounter(limit=1)
    open_splits(hparams)
