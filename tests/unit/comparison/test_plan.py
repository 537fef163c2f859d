"""A comparison file that cannot be used is refused before anything is done."""

from pathlib import Path

import pytest

from speechbrain_dfkd.comparison.plan import read_plan
from speechbrain_dfkd.errors import UserError

HPARAMS = Path(__file__).parents[3] / "hparams"
SHIPPED = sorted((HPARAMS / "comparisons").glob("*.yaml"))
VALUES = {
    "name": "toy",
    "baseline": "none",
    "arms": "{none: {kd_weight: 0}, dfkd: {kd: !include:kd/dfkd.yaml {a: 1}}}",
    "seeds": "[1, 2]",
    "tuning_seed": "100",
    "gradient_ratios": "[0.1, 1]",
    "learning_rates": "[0.001, 0.01]",
    "tune_on": "pesq_wb",
    "side_by_side": "2",
    "gate": "{pesq_wb: 0.05}",
    "confidence": "0.95",
    "bootstrap_draws": "1000",
    "snr_edges_db": "[0, 10.5]",
}


@pytest.fixture
def plan(tmp_path):
    def read(drop=(), **changes):
        values = {**VALUES, **changes}
        lines = [f"{k}: {v}" for k, v in values.items() if k not in drop]
        path = tmp_path / "toy.yaml"
        path.write_text("\n".join(lines))
        return read_plan(path)

    return read


def test_values_are_plain_and_arms_are_text(plan):
    content = plan().as_json()
    assert content["seeds"] == [1, 2]
    assert content["learning_rates"] == [0.001, 0.01]
    assert content["arms"] == {
        "none": {"kd_weight": "0"},
        "dfkd": {"kd": "!include:kd/dfkd.yaml {a: 1}"},
    }


def test_an_arm_can_have_fewer_seeds(plan):
    fewer = plan(arm_seeds="{dfkd: [2]}")
    assert (fewer.seeds_of("none"), fewer.seeds_of("dfkd")) == ([1, 2], [2])
    assert fewer.as_json()["arm_seeds"] == {"dfkd": [2]}
    assert plan().seeds_of("dfkd") == [1, 2]


CLUSTER = "executor: slurm, minutes: 60, cores: 4, cards: 1"


def test_a_cluster_is_a_mapping_or_null(plan):
    assert plan().cluster is None
    assert plan(cluster="null").as_json()["cluster"] is None
    own = f"{{{CLUSTER}, options: {{partition: gpu, mem: 32G}}}}"
    assert plan(cluster=own).as_json()["cluster"] == {
        "executor": "slurm",
        "minutes": 60,
        "cores": 4,
        "cards": 1,
        "options": {"partition": "gpu", "mem": "32G"},
    }


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_objectives_are_each_a_file(path):
    for arm in read_plan(path).as_json()["arms"].values():
        include = arm.get("kd", "!include:kd/none.yaml")
        file = include.removeprefix("!include:").split(" ")[0]
        assert (HPARAMS / file).is_file()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"sedes": "[1]"}, "unknown key 'sedes' in .*did you mean 'seeds'"),
        ({"drop": ["gate"]}, "none of the keys gate; start from"),
        ({"name": "a/b"}, "name must be letters"),
        ({"arms": "{none: {}}"}, "arms must be a mapping of two"),
        ({"arms": "{none: {}, a b: {}}"}, "name must be letters.*'a b'"),
        ({"arms": "{none: {}, dfkd: 3}"}, "arm dfkd must be a mapping"),
        ({"arms": "{none: {}, b: {seed: 3}}"}, "arm b must not.*seed"),
        (
            {"arms": "{none: {}, b: {teacher: 3}}"},
            "arm b .* all arms share, got teacher; give it on the command",
        ),
        ({"arms": "{none: {lr: 1}, b: {}}"}, "none must be without lr"),
        ({"baseline": "alone"}, r"baseline must be one of the arms \['dfkd'"),
        ({"seeds": "[]"}, "seeds must be distinct integers"),
        ({"seeds": "[1, 1]"}, "seeds must be distinct integers"),
        ({"seeds": "[1.5]"}, "seeds must be distinct integers"),
        ({"seeds": "3"}, "seeds must be distinct integers"),
        ({"tuning_seed": "2"}, "tuning_seed must be none of seeds"),
        ({"tuning_seed": "yes"}, "tuning_seed must be an integer"),
        ({"gradient_ratios": "[0, 1]"}, "gradient_ratios must be .* above 0"),
        ({"learning_rates": "[1, .nan]"}, "learning_rates must be distinct"),
        ({"learning_rates": "[1]"}, "be as many as gradient_ratios, 2"),
        ({"gradient_ratios": "[]"}, "be as many as gradient_ratios, 0"),
        ({"tune_on": "pesq"}, "tune_on must be one of pesq_wb"),
        ({"side_by_side": "0"}, "side_by_side must be an integer of at least"),
        ({"gate": "{pesq: 1}"}, "gate must be a mapping of some of pesq_wb"),
        (
            {"gate": "{pesq_wb: high}"},
            "gate must be a mapping of some of pesq_wb",
        ),
        ({"confidence": "95"}, "confidence must be a number between"),
        ({"bootstrap_draws": "1"}, "bootstrap_draws must be"),
        ({"arm_seeds": "[1]"}, "arm_seeds must be a mapping of arms"),
        (
            {"arm_seeds": "{dfdk: [1]}"},
            "arm_seeds must be of arms other than .*: dfkd, got 'dfdk'",
        ),
        (
            {"arm_seeds": "{none: [1, 2]}"},
            "than the baseline, which has all seeds: dfkd, got 'none'",
        ),
        ({"arm_seeds": "{dfkd: 1}"}, "arm_seeds of dfkd must be some of"),
        ({"arm_seeds": "{dfkd: [2, 2]}"}, "arm_seeds of dfkd must be some of"),
        (
            {"arm_seeds": "{dfkd: [1, 3]}"},
            r"some of the seeds \[1, 2\], or \[\], got \[1, 3\]",
        ),
        ({"snr_edges_db": "[5, 0]"}, "snr_edges_db must be ascending"),
        ({"cluster": "slurm"}, "cluster must be null, for this machine, or a"),
        (
            {"cluster": f"{{{CLUSTER}, option: {{}}}}"},
            "unknown key 'option' in cluster; did you mean 'options'",
        ),
        (
            {"cluster": "{executor: slurm, cores: 1}"},
            "cluster must describe .* none of the keys minutes, cards",
        ),
        (
            {"cluster": f"{{{CLUSTER.replace('slurm', 'pbs')}}}"},
            "executor of cluster must be slurm or local, got 'pbs'",
        ),
        (
            {"cluster": f"{{{CLUSTER.replace('60', '1.5')}}}"},
            "minutes of cluster must be an integer of at least 1",
        ),
        (
            {"cluster": f"{{{CLUSTER.replace('cards: 1', 'cards: 2')}}}"},
            "cards of cluster must be 0 or 1, got 2",
        ),
        (
            {"cluster": f"{{{CLUSTER}, options: {{mem: [1]}}}}"},
            "options of cluster must be a mapping of names",
        ),
    ],
)
def test_unfit_value_is_named(plan, changes, message):
    with pytest.raises(UserError, match=message):
        plan(**changes)
