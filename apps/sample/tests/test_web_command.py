"""The command `sample --web` before there is a page. Table: what keeps it from opening."""

import sys

import pytest
from sample.__main__ import main
from sample.web.listener import listen


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


def test_an_address_that_is_no_machines_is_told_of():
    # RFC 5737 keeps it for documents.
    with pytest.raises(ValueError, match=r"can't listen at 192\.0\.2\.1.*--port, 0 for any"):
        listen("192.0.2.1", 0)


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_there_is_not_is_told_of(port):
    with pytest.raises(ValueError, match=f"from 0 to 65,535, got {port}"):
        listen("127.0.0.1", port)


def test_a_port_that_is_taken_is_told_of():
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ValueError, match=rf"port {port} \(.*in use"):
            listen("127.0.0.1", port)
