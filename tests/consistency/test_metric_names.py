"""A metric is named in its table, in YAML, and where it is used for itself."""

import ast
from pathlib import Path

from speechbrain_dfkd.evaluation.metrics import METRICS

ROOT = Path(__file__).parents[2]
TABLE = "speechbrain_dfkd/evaluation/metrics.py"
# These need this very metric: a figure of two, the SNR of noisy speech, and
# the length that PESQ needs.
CONSUMERS = {
    "speechbrain_dfkd/comparison/plot.py": {"pesq_wb", "si_sdr"},
    "speechbrain_dfkd/comparison/analysis.py": {"si_sdr"},
    "speechbrain_dfkd/data/dataset.py": {"pesq_wb"},
}


def named_in(path):
    """Return the metrics that are strings of a module, docstrings aside."""
    strings = {
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return strings & set(METRICS)


def test_metrics_are_named_in_one_table_only():
    modules = [
        path
        for folder in ("speechbrain_dfkd", "recipes")
        for path in (ROOT / folder).rglob("*.py")
    ]
    found = {str(path.relative_to(ROOT)): named_in(path) for path in modules}
    assert found.pop(TABLE) == set(METRICS)
    for module, names in found.items():
        assert names <= CONSUMERS.get(module, set()), module
