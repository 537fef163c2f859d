#!/usr/bin/env python3
"""Compares objectives on DNS2020: all trainings and the report.

    python recipes/DNS/compare.py hparams/comparisons/objectives.yaml \
        hparams/dccrn_dfkd.yaml --data_folder /path/to/datasets

What follows the leaf is what train_dfkd.py takes, and holds for all trainings.
"""

import sys
from pathlib import Path

from speechbrain_dfkd.comparison.comparison import compare

if __name__ == "__main__":
    sys.exit(compare(sys.argv[1:], Path(__file__).parent))
