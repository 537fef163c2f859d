"""Makes the report of a comparison anew from the files in its folder.

``python -m speechbrain_dfkd.comparison FOLDER [--baseline ARM]``
"""

import argparse
import sys
from pathlib import Path

from speechbrain_dfkd.comparison.report import write_comparison_report
from speechbrain_dfkd.settings.command_line import exit_code


def main(argv: list) -> int:
    """Write and print the report; return the exit code."""
    parser = argparse.ArgumentParser("python -m speechbrain_dfkd.comparison")
    parser.add_argument("folder", type=Path, help="has comparison.json, runs/")
    parser.add_argument(
        "--baseline",
        metavar="ARM",
        help="differences to this arm, in report-vs-ARM.md, .csv and .png",
    )
    asked = parser.parse_args(argv)

    def report(argv: list, folder: Path) -> None:
        print(write_comparison_report(folder, asked.baseline))

    return exit_code(report, argv, asked.folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
