"""The handbook shows what its code prints and draws (golden); how refresh.py works (table)."""

import inspect
import pkgutil
import runpy
import textwrap
import traceback
from pathlib import Path

import pytest

HANDBOOK = Path(__file__).parents[1] / "docs/handbook"
SHARED = {HANDBOOK / "figures" / name for name in ("style.py", "experiment_curves.py")}
SCRIPTS = sorted(set(HANDBOOK.glob("figures/*.py")) - SHARED)

refresh = runpy.run_path(str(HANDBOOK / "refresh.py"))
PAGES = refresh["PAGES"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_shows_what_its_code_prints_and_draws(page):
    stale = refresh["stale_files"](page)
    assert not stale, "stale: run docs/handbook/refresh.py"


def test_every_figure_stands_on_a_page():
    shown = {script for page in PAGES for script in refresh["figures_of"](page.read_text("utf-8"))}
    assert shown == set(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_figure_has_the_same_bytes_when_drawn_again(script):
    assert refresh["drawn"](script) == refresh["drawn"](script)


def test_blocks_of_a_page_share_their_names_and_outputs_replace_stale_ones():
    page = "```python\na = 1\n```\n\n```python\nprint(a)\n```\n\n```text\n2\n```\n"
    assert refresh["refreshed"](page) == page.replace("2", "1")


def test_an_output_goes_when_nothing_is_printed():
    assert refresh["refreshed"]("```python\n```\n\n```text\n2\n```\n") == "```python\n```\n"


def test_a_console_block_shows_every_command_with_its_output():
    version = "$ uv run python -m nnparts.accounting --help"
    shown = refresh["refreshed"](f"```console\n{version}\n{version}\nstale\n```\n")
    assert shown.count(f"{version}\nusage: ") == 2
    assert "stale" not in shown


def test_a_console_block_runs_nothing_but_uv_run():
    with pytest.raises(ValueError, match=r"got 'ls -l'; show it as `bash`"):
        refresh["refreshed"]("```console\n$ ls -l\n```\n")


@pytest.mark.parametrize("name", ["bpe_rs.Vocabulary", "bpe_rs.Vocabulary.truncate"])
def test_a_titled_block_is_the_source_of_that_name(name):
    fence = f'```python title="{name}"\n'
    shown = refresh["refreshed"](f"{fence}stale\n```\n")
    source = inspect.getsource(pkgutil.resolve_name(name))
    assert shown == f"{fence}{textwrap.dedent(source)}```\n"


def test_a_method_on_a_page_is_formatted_for_the_width_it_has_there():
    fence = '```python title="nnparts.TransformerBlock._step"\n'
    signature = "def _step(self, x: Tensor, sublayer: Callable[[Tensor], Tensor], norm: torch.nn."
    assert refresh["refreshed"](f"{fence}stale\n```\n").startswith(f"{fence}{signature}")


@pytest.mark.parametrize("block", ["```bash\nrm x\n```\n", "```\n1\n```\n\n```text\n2\n```\n"])
def test_other_blocks_are_left_alone(block):
    assert refresh["refreshed"](block) == block


def test_an_error_in_a_block_tells_the_line_of_the_page():
    with pytest.raises(ZeroDivisionError) as error:
        refresh["refreshed"]("# A page\n\n```python\n1 / 0\n```\n", "a.md")
    *_, frame = traceback.extract_tb(error.tb)
    assert (frame.filename, frame.lineno) == ("a.md", 4)


@pytest.mark.parametrize(
    ("drawing", "same"),
    [
        ("M 1.004 2 #ffffff", True),
        ("M 1.02 2 #ffffff", False),
        ("M 1 2 #fffffe", False),
        ("M 1 #ffffff", False),
        ("M 1 2 3 #ffffff", False),
    ],
)
def test_drawings_are_the_same_within_a_hundredth_of_a_point(drawing, same):
    assert refresh["same_drawing"]("M 1 2 #ffffff", drawing) is same
