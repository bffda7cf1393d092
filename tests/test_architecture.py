"""The import map of docs/architecture.md, kept true by a test (table)."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = {
    "bpe_rs": ROOT / "packages/bpe-rs/python",
    "tok": ROOT / "packages/tok/src",
    "nnparts": ROOT / "packages/nnparts/src",
    "optimkit": ROOT / "packages/optimkit/src",
    "trainkit": ROOT / "packages/trainkit/src",
    "prepare": ROOT / "apps/prepare/src",
    "sample": ROOT / "apps/sample/src",
    "train": ROOT / "apps/train/src",
}
MAY_IMPORT = {
    "bpe_rs": set(),
    "tok": {"bpe_rs"},
    "nnparts": set(),
    "optimkit": set(),
    "trainkit": {"nnparts", "optimkit"},
    "prepare": {"bpe_rs", "tok"},
    "sample": {"tok", "nnparts", "trainkit"},
    "train": {"prepare", "sample", "tok", "nnparts", "optimkit", "trainkit"},
}
PACKAGES = ["bpe_rs", "tok", "nnparts", "optimkit", "trainkit"]


def python_files(name: str) -> list[Path]:
    files = sorted(SOURCES[name].rglob("*.py"))
    assert files, f"no Python file under {SOURCES[name]}"
    return files


def imports(path: Path) -> set[str]:
    """Top-level names of everything imported anywhere in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module is not None
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("name", SOURCES)
def test_members_import_only_what_the_map_allows(name):
    imported = set().union(*map(imports, python_files(name))) & SOURCES.keys()
    assert imported - {name} <= MAY_IMPORT[name]


@pytest.mark.parametrize("name", PACKAGES)
def test_packages_neither_print_nor_parse_a_command_line(name):
    for path in python_files(name):
        if path.name == "__main__.py":
            continue
        assert not imports(path) & {"argparse", "tyro", "click"}, path
        printed = [
            node
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "print"
        ]
        assert not printed, f"{path} prints"


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_root_holds_a_docstring_and_its_exports_alone(name):
    tree = ast.parse((SOURCES[name] / name / "__init__.py").read_text("utf-8"))
    assert ast.get_docstring(tree)
    others = [node for node in tree.body[1:] if not isinstance(node, ast.ImportFrom | ast.Assign)]
    assert not others


@pytest.mark.parametrize("name", ["tok", "bpe_rs"])
def test_text_needs_no_torch(name):
    assert "torch" not in set().union(*map(imports, python_files(name)))


def test_no_pickle_is_written_or_read():
    for name in SOURCES:
        for path in python_files(name):
            assert not imports(path) & {"pickle", "shelve", "marshal"}, path
            # safetensors' own `safetensors.torch.save` is no pickle.
            calls = re.search(r"(?<!safetensors\.)torch\.(save|load)\b", path.read_text("utf-8"))
            assert not calls, path
