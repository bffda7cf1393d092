"""Run the commands of handbook pages and put what they print below them.

    python docs/handbook/refresh.py            rewrites the pages beside this file
    python docs/handbook/refresh.py --check    changes nothing, and fails if a page is stale

A command stands in a fenced block, `console`, after "$ uv run python -m"; what follows it up to the
fence is its output.
"""

import argparse
import contextlib
import io
import re
import runpy
import shlex
import sys
from pathlib import Path
from unittest import mock

_BLOCK = re.compile(r"(?<=^```console\n)\$ uv run python -m (.*)\n(?:.*\n)*?(?=^```$)", re.M)


def refreshed(page: str) -> str:
    """The text of a page with every command's output as it is now."""
    return _BLOCK.sub(lambda block: f"$ uv run python -m {block[1]}\n{_output(block[1])}", page)


def _output(command: str) -> str:
    """What `python -m COMMAND` prints, run in this process: torch is imported once, not ten times.

    Raises:
        SystemExit: the command failed; its error is on stderr.
    """
    module, *arguments = shlex.split(command)
    sys.modules.pop(f"{module}.__main__", None)  # runpy warns of one that a test has imported
    printed = io.StringIO()
    with mock.patch.object(sys, "argv", [module, *arguments]), contextlib.redirect_stdout(printed):
        runpy.run_module(module, run_name="__main__")
    return printed.getvalue()


def main() -> None:
    """Rewrite the pages, or say which of them are stale."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail if stale")
    check = parser.parse_args().check
    stale = []
    for path in sorted(Path(__file__).parent.glob("*.md")):
        page = path.read_text("utf-8")
        if (fresh := refreshed(page)) != page:
            stale.append(path.name)
            if not check:
                path.write_text(fresh, "utf-8")
    if stale and check:
        sys.exit(f"stale: {', '.join(stale)}; run {Path(__file__).name} without --check")


if __name__ == "__main__":
    main()
