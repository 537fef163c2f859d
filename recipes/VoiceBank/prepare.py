#!/usr/bin/env python3
"""Prepares the data of VoiceBank+DEMAND alone: all of them, or one of N shards.

    python recipes/VoiceBank/prepare.py hparams/dccrn_dfkd.yaml \
        --data_folder /path/to/VoiceBank [--shard I/N]

Shards may run at once on several machines that share results_folder; a last
call without --shard, or a training, then writes the manifests. The settings
are those of train_dfkd.py.
"""

import sys
from pathlib import Path

from speechbrain_dfkd.data.preparing import prepare

if __name__ == "__main__":
    sys.exit(prepare(sys.argv[1:], Path(__file__).parent))
