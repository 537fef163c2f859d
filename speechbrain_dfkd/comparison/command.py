"""What the script ``compare.py`` of a recipe runs."""

from speechbrain_dfkd.command_line import DFKD_KEYS, exit_code
from speechbrain_dfkd.command_words import find_settings_file
from speechbrain_dfkd.comparison.base_command import read_base_command
from speechbrain_dfkd.comparison.comparison import Comparison
from speechbrain_dfkd.comparison.plan import read_plan
from speechbrain_dfkd.comparison.plot import require_matplotlib
from speechbrain_dfkd.comparison.report import write_comparison_report
from speechbrain_dfkd.errors import UserError
from speechbrain_dfkd.folder_lock import hold_folder
from speechbrain_dfkd.help_text import asks_for_help, help_text


def compare(argv: list, recipe_folder) -> int:
    """Train all arms of a comparison and print its report.

    What is finished is kept and not done again.

    Arguments
    ---------
    argv : list of str
        The command line without the script's name: a comparison file, then
        what ``train_dfkd.py`` takes.
    recipe_folder : str or Path
        Holds ``<dataset>.yaml`` and ``demo.yaml``.

    Returns
    -------
    int
        The exit code: 2 where the user has something to put right.
    """
    return exit_code(_compare, argv, recipe_folder)


def _compare(argv, recipe_folder):
    if asks_for_help(argv):
        script = "compare.py COMPARISON"
        argv = argv[1:]
        print(help_text(argv, recipe_folder, "dfkd", DFKD_KEYS, script))
        raise SystemExit(0)
    if len(argv) < 2 or argv[1].startswith("-"):
        raise UserError(
            "compare.py must be given a comparison file and a dfkd leaf, got "
            f"{' '.join(argv) or 'nothing'}; for example "
            "hparams/comparisons/objectives.yaml hparams/dccrn_dfkd.yaml"
        )
    require_matplotlib()
    plan = read_plan(find_settings_file(argv[0], recipe_folder))
    base = read_base_command(argv[1:], recipe_folder)
    comparison = Comparison(plan, base, recipe_folder)
    with hold_folder(comparison.folder, waits=False):
        comparison.check()
        if not comparison.is_finished():
            comparison.teach()
            comparison.train()
        print(f"\n{write_comparison_report(comparison.folder)}", flush=True)
    print(f"Report: {comparison.folder}/report.md, report.csv, report.png")
