"""Files that Asteroid writes serve as teachers, with Asteroid's own output."""

import json
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from asteroid_weights import (
    make_dccrnet,
    relative,
    serialized,
    speech_like,
    unsettle,
)
from recipe_runs import assert_refused, dfkd_options

from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.models import DCCRN
from speechbrain_dfkd.settings.configuration import Configuration
from speechbrain_dfkd.settings.tree import parse_tree
from speechbrain_dfkd.teacher.loading import (
    described_teacher,
    load_strictly,
    load_teacher,
    read_network,
)

pytest.importorskip("asteroid", reason="asteroid is not installed")
models = pytest.importorskip("asteroid.models")

RUN = "dfkd_1.0-seed_1234"
# As of the public models of Libri1Mix, enh_single, 16 kHz, and smaller.
TASNET = {"kernel_size": 32, "stride": 16, "sample_rate": 16000}
SMALL_TASNET = {
    "n_filters": 24, "bn_chan": 8, "hid_chan": 16, "skip_chan": 12,
    "n_blocks": 3, "n_repeats": 2, **TASNET,
}  # fmt: skip
DPTNET = {"kernel_size": 16, "stride": 8, "sample_rate": 16000}
SMALL_DPTNET = {"n_filters": 8, "n_heads": 2, "ff_hid": 6, "n_repeats": 2}


def make_conv_tasnet(**changes):
    return trained(models.ConvTasNet, SMALL_TASNET | changes)


def trained(network, arguments):
    torch.manual_seed(0)
    model = network(1, **arguments)
    unsettle(model)
    for name, parameter in model.named_parameters():
        if "mha" in name and name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


NETWORKS = {
    "conv_tasnet": lambda: make_conv_tasnet(mask_act="relu"),
    "conv_tasnet_sigmoid": lambda: make_conv_tasnet(conv_kernel_size=5),
    "conv_tasnet_cumulative": lambda: make_conv_tasnet(norm_type="cgLN"),
    "conv_tasnet_causal": lambda: make_conv_tasnet(
        norm_type="cgLN", causal=True, kernel_size=20, stride=10
    ),
    "conv_tasnet_published": lambda: trained(
        models.ConvTasNet, {**TASNET, "mask_act": "relu"}
    ),
    "dccrn": lambda: make_dccrnet("mini"),
    "dccrn_published": make_dccrnet,
    "dptnet": lambda: trained(models.DPTNet, {**DPTNET, **SMALL_DPTNET}),
    "dptnet_published": lambda: trained(models.DPTNet, DPTNET),
}
SLOW = {"dccrn_published", "dptnet_published"}
PARAMETERS = [
    pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW))
    for name in NETWORKS
]


def save(content, path):
    torch.save(content, path)
    return path


@pytest.fixture(params=PARAMETERS)
def pair(request, tmp_path):
    """Asteroid's network, and ours from the file that Asteroid wrote."""
    theirs = NETWORKS[request.param]()
    path = save(serialized(theirs), tmp_path / "model.pth")
    return theirs, loaded(path)


def configured(path, kd_weight=1.0):
    """Return settings whose teacher is to give way to a file's."""
    text = f"""
        sample_rate: 16000
        kd_weight: {kd_weight}
        teacher: {{name: mine, model: !new:collections.Counter }}
        teacher_ckpt: {path}
        clean_as_teacher: False
        kd: {{loss: !new:speechbrain_dfkd.losses.WaveformResponse }}
    """
    configuration = Configuration(Path("test.yaml"), parse_tree(text, "test"))
    network = described_teacher(configuration.settings(), is_chosen=True)
    if network is None:
        return configuration
    return configuration.replace(teacher=network)


def loaded(path):
    configuration = configured(path)
    return load_teacher(configuration.build(), configuration.settings()).eval()


@torch.no_grad()
def test_output_is_asteroids(pair):
    theirs, ours = pair
    noisy = speech_like(16000)
    expected, enhanced = theirs(noisy[:, None])[:, 0], ours(noisy).wav
    assert relative(expected - noisy, noisy) > 0.05
    # DCCRN has other frames at the edges, which its LSTM forgets.
    inner = slice(4000, -4000) if isinstance(ours, DCCRN) else slice(None)
    difference = (enhanced - expected)[:, inner]
    assert relative(difference, expected[:, inner]) < 1e-4


@torch.no_grad()
@pytest.mark.parametrize("name", ["conv_tasnet", "dptnet"])
def test_asteroid_leaves_out_what_is_no_whole_frame(name, tmp_path):
    """This is all that differs where the length is no multiple of the step."""
    theirs = NETWORKS[name]()
    ours = loaded(save(serialized(theirs), tmp_path / "model.pth"))
    noisy = speech_like(16007)
    expected, enhanced = theirs(noisy[:, None])[:, 0], ours(noisy[:, :16000])
    assert not expected[:, 16000:].any()
    difference = enhanced.wav - expected[:, :16000]
    assert relative(difference, expected) < 1e-4


def test_file_decides_on_teacher(tmp_path, capsys):
    path = save(serialized(make_conv_tasnet()), tmp_path / "model.pth")
    teacher = configured(path).settings()["teacher"]
    assert teacher["name"] == "asteroid_conv_tasnet"
    assert teacher["n_filters"] == 24
    printed = capsys.readouterr().out
    assert "asteroid_conv_tasnet" in printed
    assert f"{path} describes it, in place of the setting teacher (mine)" in (
        printed
    )


def test_file_is_left_alone_without_distillation(tmp_path):
    configuration = configured(tmp_path / "absent.pth", kd_weight=0)
    assert configuration.settings()["teacher"]["name"] == "mine"


def test_our_own_file_leaves_the_teacher(tmp_path):
    path = save({"weight": torch.ones(1)}, tmp_path / "model.pth")
    assert configured(path).settings()["teacher"]["name"] == "mine"


def changed(**arguments):
    content = serialized(make_conv_tasnet())
    return {**content, "model_args": {**content["model_args"], **arguments}}


def without(key):
    content = serialized(make_conv_tasnet())
    del content["state_dict"][key]
    return content


def with_metrics():
    """As the recipes of LibriMix publish a model: with means by pandas."""
    content = serialized(make_conv_tasnet())
    content["infos"]["final_metrics"] = {"si_sdr": np.float64(14.7)}
    return content


def of_lightning():
    state = make_conv_tasnet().state_dict()
    state = {f"model.{key}": value for key, value in state.items()}
    return {"epoch": 3, "state_dict": state, "pytorch-lightning_version": "2"}


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        (
            lambda: {**changed(), "model_name": "DPRNNTasNet"},
            ["ConvTasNet, DCCRNet, DPTNet", "'DPRNNTasNet'"],
        ),
        (lambda: changed(sample_rate=8000.0), ["sample_rate: 8000.0"]),
        (lambda: changed(n_src=2), ["n_src: 2", "not 1"]),
        (
            lambda: changed(fb_name="STFTFB", mask_act="softmax", n_bands=3),
            ["n_bands: 3"],
        ),
        (
            lambda: changed(fb_name="STFTFB", mask_act="softmax"),
            ["fb_name: 'STFTFB'", "mask_act: 'softmax'"],
        ),
        (lambda: changed(skip_chan=0), ["skip_chan: 0"]),
        (lambda: changed(bn_chan=4), ["shape of bottleneck.1.weight"]),
        (
            lambda: without("masker.TCN.5.res_conv.bias"),
            ["missing: blocks.5.project.bias", "download it again"],
        ),
        (lambda: {"model_name": "ConvTasNet", "state_dict": 3}, ["model_args"]),
        (with_metrics, ["numpy", "weights_only=False", '"model_args"']),
        (make_conv_tasnet, ["asteroid", "content.serialize()"]),
    ],
)
def test_other_file_is_refused(tmp_path, content, fragments):
    path = save(content(), tmp_path / "model.pth")
    with pytest.raises(UserError, match="^teacher_ckpt must") as caught:
        configured(path)
    for fragment in [str(path), *fragments]:
        assert fragment in str(caught.value)


def test_asteroids_names_within_a_checkpoint_are_refused(tmp_path):
    path = save(of_lightning(), tmp_path / "model.ckpt")
    with pytest.raises(UserError, match="^teacher_ckpt must fit") as caught:
        load_strictly(DCCRN((2, 2), 2), read_network(path))
    assert "torch.save(system.model.serialize(), path)" in str(caught.value)


def test_conversion_that_the_message_tells_serves(tmp_path, monkeypatch):
    path = save(with_metrics(), tmp_path / "model.pth")
    with pytest.raises(UserError) as caught:
        configured(path)
    code = str(caught.value).split("once:\n")[1].split("  # or ")[0]
    monkeypatch.chdir(tmp_path)
    exec(textwrap.dedent(code), {})
    assert loaded(tmp_path / "teacher.pth")


def test_script_shows_no_traceback(call, corpus, tmp_path):
    path = save(changed(n_src=2), tmp_path / "model.pth")
    results = tmp_path / "results"
    outcome = call(dfkd_options(corpus, results, teacher_ckpt=path))
    assert_refused(*outcome, ["n_src: 2", str(path)], results)


@pytest.mark.slow
def test_script_distils_and_goes_on(call, corpus, tmp_path):
    path = save(serialized(make_conv_tasnet()), tmp_path / "model.pth")
    results = tmp_path / "results"
    options = {"teacher_ckpt": path, "number_of_epochs": 1}
    code, stdout, stderr = call(dfkd_options(corpus, results, **options))
    assert code == 0, stderr
    folder = results / "dccrn_eighth-from-asteroid_conv_tasnet"
    rows = json.loads((folder / RUN / "results.json").read_text())["rows"]
    teacher = next(row for row in rows if row["system"] == "teacher")
    count = sum(p.numel() for p in loaded(path).parameters())
    assert teacher["parameters"] == count

    options["number_of_epochs"] = 2
    code, stdout, stderr = call(dfkd_options(corpus, results, **options))
    assert code == 0, stderr
    assert "Going into epoch 2" in stdout + stderr
