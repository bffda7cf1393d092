"""Run what the pages of the handbook show, and put what it prints below it.

    uv run python docs/handbook/refresh.py [PAGE ...]     rewrites stale pages and figures
    uv run python docs/handbook/refresh.py --check        changes nothing, and fails if one is stale

A page is plain Markdown, with its outputs in it. What a fenced block is, its first line says:

    ```python                           runs; the blocks of a page are one program, and what a block
                                        prints stands in a block `text` right after it
    ```python title="nnparts.Linear"    does not run: the source of that name, as it stands
    ```console                          lines of "$ uv run COMMAND", each with its output below it

Every other block is left alone. `![...](figures/NAME.svg)` is drawn by `draw()` of figures/NAME.py.
All of it runs in the root of the workspace.
"""

import argparse
import contextlib
import functools
import inspect
import io
import math
import pkgutil
import re
import runpy
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from unittest import mock

HANDBOOK = Path(__file__).parent
ROOT = HANDBOOK.parents[1]
FIGURES = HANDBOOK / "figures"
PAGES = [*sorted(HANDBOOK.rglob("*.md")), HANDBOOK.parent / "scale.md", ROOT / "README.md"]

_BLOCK = re.compile(
    r"^(?P<fence>`{3,})(?P<kind>[^\n`]*)\n(?P<body>.*?)^(?P=fence)\n"
    r"(?P<output>\n```text\n.*?^```\n)?",
    re.M | re.S,
)
_NUMBER_OR_COLOR = re.compile(r"#[0-9a-f]{6}\b|(?<![\w#.])-?\d+(?:\.\d+)?")


def refreshed(page: str, name: str = "page") -> str:
    """The text of a page, called `name` in tracebacks, with every output as it is now.

    Raises:
        Exception: whatever a block raises; the traceback has the page's own lines.
    """
    names: dict[str, Any] = {"__name__": "__main__"}

    def fresh(block: re.Match[str]) -> str:
        kind, body = block["kind"], block["body"]
        if kind == "console":
            return f"```console\n{_session(body)}```\n{block['output'] or ''}"
        if title := re.fullmatch(r'python title="([\w.]+)"', kind):
            return f"```{kind}\n{_source(title[1])}```\n{block['output'] or ''}"
        if kind == "python":
            lines_above = "\n" * page.count("\n", 0, block.start("body"))
            printed = _printed(lambda: exec(compile(lines_above + body, name, "exec"), names))
            return f"```python\n{body}```\n" + (f"\n```text\n{printed}```\n" if printed else "")
        return block[0]

    return _BLOCK.sub(fresh, page)


def drawn(script: Path) -> str:
    """The SVG that `draw()` of a script in figures/ makes."""
    with mock.patch.object(sys, "path", [str(FIGURES), *sys.path]), contextlib.chdir(ROOT):
        svg = runpy.run_path(str(FIGURES / "style.py"))["svg"]
        return svg(runpy.run_path(str(script))["draw"])


def same_drawing(one: str, other: str) -> bool:
    """Whether two SVGs show the same: colours equal, numbers within a hundredth of a point.

    Bytes would ask too much: processors round differently, and ids are hashes of what was rounded.
    """
    ours, theirs = _NUMBER_OR_COLOR.findall(one), _NUMBER_OR_COLOR.findall(other)
    return len(ours) == len(theirs) and all(map(_close, ours, theirs))


def _close(one: str, other: str) -> bool:
    if one == other:
        return True
    return "#" not in one + other and math.isclose(float(one), float(other), abs_tol=0.01)


def _printed(run: Callable[[], object]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.chdir(ROOT):
        run()
    return printed.getvalue()


def _session(body: str) -> str:
    commands = re.findall(r"^\$ (.*)\n", body, re.M)
    return "".join(f"$ {command}\n{_output(command)}" for command in commands)


def _output(command: str) -> str:
    """What `uv run ...` prints, run in this process: torch is imported once, not ten times.

    Raises:
        ValueError: another command than `uv run`.
        SystemExit: the command failed; its error is on stderr.
    """
    uv, run, *arguments = shlex.split(command)
    if [uv, run] != ["uv", "run"]:
        raise ValueError(f"a console block runs `uv run ...`, got {command!r}; show it as `bash`")
    program = _program(arguments)
    # COLUMNS: rich and argparse would ask the terminal, and a page has none.
    environment = mock.patch.dict("os.environ", COLUMNS="100", NO_COLOR="1")
    with environment, mock.patch.object(sys, "argv", arguments):
        return _printed(lambda: _unless_failed(program))


def _unless_failed(run: Callable[[], object]) -> None:
    try:
        run()
    except SystemExit as exit:  # `--help` exits, with 0
        if exit.code:
            raise


def _program(arguments: list[str]) -> Callable[[], object]:
    """What runs a command; its words before the program go, as they do from `sys.argv`."""
    if arguments[0] != "python":
        return entry_points(group="console_scripts")[arguments[0]].load()
    del arguments[0]
    if arguments[0] != "-m":
        return functools.partial(runpy.run_path, arguments[0], run_name="__main__")
    del arguments[0]
    sys.modules.pop(f"{arguments[0]}.__main__", None)  # runpy warns of one that a test has imported
    return functools.partial(runpy.run_module, arguments[0], run_name="__main__")


def _source(name: str) -> str:
    source = textwrap.dedent(inspect.getsource(pkgutil.resolve_name(name)))
    # A method that has moved to the left is formatted for the width it has there.
    ruff = ["ruff", "format", "--stdin-filename", f"{name}.py"]
    return subprocess.check_output(ruff, input=source, cwd=ROOT, encoding="utf-8")


def figures_of(page: str) -> list[Path]:
    """The scripts that draw the figures of a page."""
    return [FIGURES / f"{name}.py" for name in re.findall(r"\]\([\w./]*figures/(\w+)\.svg\)", page)]


def stale_files(path: Path) -> dict[Path, str]:
    """What a page and its figures should hold, of those that do not."""
    page = path.read_text("utf-8")
    stale = {} if (fresh := refreshed(page, str(path))) == page else {path: fresh}
    for script in figures_of(page):
        drawing, svg = drawn(script), script.with_suffix(".svg")
        if not svg.exists() or not same_drawing(svg.read_text("utf-8"), drawing):
            stale[svg] = drawing
    return stale


def main() -> None:
    """Rewrite the pages and figures, or say which of them are stale."""
    parser = argparse.ArgumentParser(description="Refresh what the pages of the handbook show.")
    parser.add_argument("pages", nargs="*", type=Path, help="all where none is named")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if stale")
    arguments = parser.parse_args()
    stale: dict[Path, str] = {}
    for path in arguments.pages or PAGES:
        stale |= stale_files(path.resolve())
    if stale and arguments.check:
        names = ", ".join(path.name for path in stale)
        sys.exit(f"stale: {names}; run {Path(__file__).name} without --check")
    for path, text in stale.items():
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
