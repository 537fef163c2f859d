#!/usr/bin/env python3
"""Trains a teacher on DNS2020.

    python recipes/DNS/train_teacher.py hparams/dccrn_teacher.yaml \
        --data_folder /path/to/datasets

Without --data_folder it runs on the demo corpus. The settings come from the
leaf, then dns.yaml, then the command line.
"""

import sys
from pathlib import Path

from speechbrain_dfkd.experiment import train_teacher

if __name__ == "__main__":
    sys.exit(train_teacher(sys.argv[1:], Path(__file__).parent))
