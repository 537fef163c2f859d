#!/usr/bin/env python3
"""Distils a student on DNS2020, with its teacher trained first.

    python recipes/DNS/train_dfkd.py hparams/dccrn_dfkd.yaml \
        --data_folder /path/to/datasets [--teacher_ckpt PATH] [--kd_weight 0]

Without --data_folder it runs on the demo corpus. The settings come from the
leaf, then dns.yaml, then the command line.
"""

import sys
from pathlib import Path

from speechbrain_dfkd.experiment import train_dfkd

if __name__ == "__main__":
    sys.exit(train_dfkd(sys.argv[1:], Path(__file__).parent))
