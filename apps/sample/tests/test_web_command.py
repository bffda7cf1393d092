"""The command `sample --web` before there is a page. Table: what keeps it from opening."""

import sys

import pytest
from sample.__main__ import main


@pytest.fixture
def said(monkeypatch, capsys):
    """Runs the command, which fails; gives its words."""

    def run(*flags: object) -> str:
        monkeypatch.setattr(sys, "argv", ["sample", *map(str, flags)])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 1
        return capsys.readouterr().err

    return run


def test_without_gradio_the_extra_is_named(monkeypatch, said):
    monkeypatch.setitem(sys.modules, "gradio", None)
    for module in ("server", "page", "side"):
        monkeypatch.delitem(sys.modules, f"sample.web.{module}", raising=False)
    assert "pip install 'sample-app[web]'" in said("--web", "--run", "any")


def test_without_a_page_there_is_one_run(said):
    assert "got 2; compare them with --web" in said("--run", "a", "--run", "b")
