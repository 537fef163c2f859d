"""One rank of train_dfkd.py that notes what it draws and what it learns.

Run under torchrun: observed_rank.py NOTES RECIPE_FOLDER DIES LEAF OPTIONS...
With DIES = 1, rank 1 dies at its first training step; else its loss is NaN in
the student's second.
"""

import json
import math
import os
import sys
from pathlib import Path

from speechbrain_dfkd import experiment
from speechbrain_dfkd.teacher.frozen import fingerprint
from speechbrain_dfkd.training.dfkd_brain import DFKDBrain
from speechbrain_dfkd.training.enhancement_brain import EnhancementBrain


def observe(dies, bad, notes):
    """Note the ids of a student's batches, and all weights at the end."""
    start_batch = EnhancementBrain.on_fit_batch_start
    objectives = DFKDBrain.compute_objectives
    finish = experiment._Run.finish

    def on_fit_batch_start(self, batch, should_step):
        if dies:
            os._exit(9)
        if isinstance(self, DFKDBrain):
            notes["drawn"] += batch.id
        start_batch(self, batch, should_step)

    def compute_objectives(self, predictions, batch, stage):
        loss = objectives(self, predictions, batch, stage)
        is_bad = bad and self.step == 2 and self.modules.training
        return loss * math.nan if is_bad else loss

    def note_weights(run, systems, *own):
        notes["weights"] += [fingerprint(net) for net in systems.values()]
        finish(run, systems, *own)

    EnhancementBrain.on_fit_batch_start = on_fit_batch_start
    DFKDBrain.compute_objectives = compute_objectives
    experiment._Run.finish = note_weights


def main():
    """Run the script; write the notes of this rank."""
    folder, recipe = Path(sys.argv[1]), Path(sys.argv[2])
    rank = os.environ["RANK"]
    notes = {"drawn": [], "weights": []}
    dies = sys.argv[3] == "1" and rank == "1"
    observe(dies, rank == "1", notes)
    sys.path.insert(0, str(recipe))
    code = experiment.train_dfkd(sys.argv[4:], recipe)
    folder.mkdir(exist_ok=True)
    (folder / f"{rank}.json").write_text(json.dumps(notes))
    sys.exit(code)


if __name__ == "__main__":
    main()
