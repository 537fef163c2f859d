"""Makes the report of a comparison anew from the files in its folder.

``python -m speechbrain_dfkd.comparison FOLDER [--baseline ARM]``
"""

import argparse
import sys

from speechbrain_dfkd.comparison.report import write_comparison_report
from speechbrain_dfkd.errors import UserError


def main(argv: list) -> int:
    """Write and print the report; return 0, or 2 after a user's error."""
    parser = argparse.ArgumentParser("python -m speechbrain_dfkd.comparison")
    parser.add_argument("folder", help="holds comparison.json and runs/")
    parser.add_argument(
        "--baseline",
        metavar="ARM",
        help="differences to this arm, in report-vs-ARM.md, .csv and .png",
    )
    arguments = parser.parse_args(argv)
    try:
        print(write_comparison_report(arguments.folder, arguments.baseline))
    except UserError as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
