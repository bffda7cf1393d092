"""Golden: src/unicode_tables.rs is what tools/unicode_tables.py makes of this `regex` package."""

import importlib.util
from pathlib import Path

TOOL = Path(__file__).parents[1] / "tools" / "unicode_tables.py"


def test_the_tables_in_the_source_are_those_the_tool_generates():
    spec = importlib.util.spec_from_file_location("unicode_tables", TOOL)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.TARGET.read_text(encoding="utf-8") == tool.render()
