"""Each package installs alone: its wheel in an empty environment runs its README's example."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDS = {
    "bpe-rs": [],
    "tok": ["bpe-rs"],
    "nnparts": [],
    "optimkit": [],
    "trainkit": ["nnparts", "optimkit"],
}


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """The command's output; its errors fail the test with all that it said."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel of every package, by the package's name."""
    directory = tmp_path_factory.mktemp("wheels")
    for name in NEEDS:
        run("uv", "build", "--quiet", "--wheel", "--package", name, "--out-dir", directory)
    return {path.name.split("-")[0].replace("_", "-"): path for path in directory.glob("*.whl")}


@pytest.mark.parametrize("name", NEEDS)
def test_a_package_alone_runs_its_example(name, wheels, tmp_path):
    example = re.search(
        r"```python\n(.*?)```", (ROOT / f"packages/{name}/README.md").read_text(), re.S
    )
    assert example, f"the README of {name} has no example"
    (tmp_path / "example.py").write_text(example.group(1), encoding="utf-8")
    environment = tmp_path / "environment"
    run("uv", "venv", "--quiet", environment)
    # By path, so that no other project's package of the same name can take its place.
    chosen = [wheels[each] for each in (name, *NEEDS[name])]
    run("uv", "pip", "install", "--quiet", "--python", environment, *chosen)
    installed = run("uv", "pip", "list", "--quiet", "--format", "freeze", "--python", environment)
    ours = {line.split("==")[0].split(" ")[0] for line in installed.splitlines()} & NEEDS.keys()
    assert ours == {name, *NEEDS[name]}
    [python] = [*environment.glob("bin/python"), *environment.glob("Scripts/python.exe")]
    run(python, "example.py", cwd=tmp_path)
