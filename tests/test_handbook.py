"""The handbook shows what its commands print (golden)."""

import runpy
from pathlib import Path

import pytest

HANDBOOK = Path(__file__).parents[1] / "docs/handbook"
PAGES = sorted(HANDBOOK.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_shows_what_its_commands_print(page):
    refreshed = runpy.run_path(str(HANDBOOK / "refresh.py"))["refreshed"]
    text = page.read_text("utf-8")
    assert "$ uv run python -m " in text
    assert refreshed(text) == text, "stale: run docs/handbook/refresh.py"
