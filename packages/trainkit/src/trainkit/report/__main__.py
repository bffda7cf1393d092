"""The command `python -m trainkit.report RUN... [--out FILE]`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from trainkit.report.page import write_report


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the report of the runs named; exits with 1 and a sentence where there is none."""
    parser = argparse.ArgumentParser(
        prog="python -m trainkit.report",
        description="Draws one run, or several compared, as one HTML file that needs no network.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's directory")
    parser.add_argument(
        "--out",
        type=Path,
        help="the file to write; if not given, RUN/report.html, or ./report.html of several runs",
    )
    chosen = parser.parse_args(arguments)
    directory = chosen.runs[0] if len(chosen.runs) == 1 else Path()
    out = chosen.out or directory / "report.html"
    try:
        write_report(chosen.runs, out)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(out)


if __name__ == "__main__":
    main()
