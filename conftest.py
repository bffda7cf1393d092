"""What the tests of all packages share."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# No test asserts on seconds: hypothesis' 200 ms for an example are missed where a machine is busy.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# Every call checks its shapes and types. "Tower": an int is a float, too, as PEP 484 has it. Not by
# the option --jaxtyping-packages: with such a checker it misreads a list of packages.
install_import_hook(
    ["nnparts", "optimkit", "trainkit"],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)


@pytest.fixture
def run_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs the `main` of a command in this process, in an empty directory.

    Gives its exit code and its words, in a line: a console breaks them where it will.
    """
    monkeypatch.chdir(tmp_path)

    def run(main: Callable[[], None], *flags: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, flags)])
        code = 0
        try:
            main()
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        output = capsys.readouterr()
        return code, re.sub(r"\s+", " ", output.out + output.err)

    return run
