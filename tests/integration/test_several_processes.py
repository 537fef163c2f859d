"""Two processes train one network; what is made once is made once."""

import re
import sys

import pytest
import recipe_runs
import torch
from recipe_runs import (
    DFKD,
    STUDENT_FOLDER,
    TEACHER_FOLDER,
    WEIGHTS,
    dfkd_options,
    run,
)

from speechbrain_dfkd.data.demo_corpus import make_dns_demo_corpus

pytestmark = pytest.mark.slow

SIZES = {"batch_size": 4, "segment_seconds": 0.5, "number_of_epochs": 1}
DNS = ("recipes/DNS/train_dfkd.py", DFKD[1])
DNS_DATASET = "{mixtures_per_epoch: 28, valid_share: 0.2, valid_mixtures: 2, valid_seconds: 1.5}"


@pytest.fixture(scope="module")
def dns_corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dns") / "corpus"
    make_dns_demo_corpus(
        folder,
        speech_per_speaker=1,
        noises=18,
        test_utterances=2,
        min_seconds=1.0,
        max_seconds=1.5,
        progress=False,
    )
    return folder


def in_two_processes(script, options):
    """Run a script under torchrun, as its README says."""
    launcher = ["-m", "torch.distributed.run", "--standalone"]
    launcher += ["--nproc_per_node=2"]
    options = [*options, "--distributed_backend", "gloo"]
    return run([*launcher, *script], options)


def options(corpus, results, **changes):
    return dfkd_options(
        corpus, results, **SIZES, teacher_overrides=SIZES, **changes
    )
