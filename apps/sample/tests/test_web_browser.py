"""The playground as a person uses it: the command in a process, its page in a real Chromium.

Whatever the page does, no request leaves this machine; each test of the page sees to that.
"""

import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Page, expect, sync_playwright
from sample.run import load_run
from sample.web.limits import Limits
from sample.writing import write

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# A server that looks elsewhere says so: any address that is connected to, any name looked up.
COMMAND = """
import sys
def see(event, given):
    if event == "socket.getaddrinfo" and given[0] not in (None, "127.0.0.1", "localhost"):
        print("OUTSIDE", given, file=sys.stderr, flush=True)
    if event == "socket.connect" and not str(given[1]).startswith("('127.0.0.1'"):
        print("OUTSIDE", given, file=sys.stderr, flush=True)
sys.addaudithook(see)
from sample.__main__ import main
main()
"""
END = "<|endoftext|>"

expect.set_options(timeout=30_000)  # milliseconds: of a machine that others use, too


@pytest.fixture(scope="module")
def directory(make_run, tmp_path_factory) -> Path:
    # Layers enough that 1,024 tokens take seconds: else Stop would come too late.
    return make_run(tmp_path_factory.mktemp("web") / "run", num_layers=8)


@pytest.fixture(scope="module")
def url(directory: Path, tmp_path_factory) -> Iterator[str]:
    errors = tmp_path_factory.mktemp("log") / "stderr"
    missing = directory.parent / "missing"
    flags = ["--web", "--run", directory, "--run", missing, "--port", "0", "--device", "cpu"]
    with errors.open("w") as stderr:
        server = subprocess.Popen(
            [sys.executable, "-u", "-c", COMMAND, *map(str, flags)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        )
    try:
        said = server.stdout.readline()
        found = re.match(r"http://127\.0\.0\.1:\d+", said)
        assert found, said + errors.read_text()
        yield found[0]
    finally:
        server.terminate()
        server.communicate(timeout=30)
    assert errors.read_text() == ""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        missing = "no Chromium here; Debian and Ubuntu have it as the package chromium"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    with sync_playwright() as playwright:
        # Root, as CI often is, has no sandbox; the page is ours.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    expect(page.locator("#left .token.next")).to_be_visible()
    yield page
    page.close()
    assert asked
    assert [one for one in asked if not one.startswith((url, "data:", "blob:"))] == []
    assert errors == []


def type_prompt(page: Page, text: str) -> None:
    page.locator("#prompt textarea").press_sequentially(text)


def shown_tokens(page: Page) -> list[str]:
    return page.locator("#left .token:not(.next)").all_inner_texts()


def set_knob(page: Page, name: str, value: str, side: str = "#left") -> None:
    field = page.locator(side).get_by_role("spinbutton", name=name)
    field.fill(value)
    field.press("Enter")


def written(page: Page, side: str = "#left") -> str:
    return page.locator(f"{side} .text textarea").input_value()


def test_tokens_appear_as_one_types_with_id_and_bytes_under_the_pointer(page, tokenizer):
    before = shown_tokens(page)
    type_prompt(page, "the one")
    expect(page.locator("#left .token")).to_have_count(len(before) + 5)
    assert shown_tokens(page)[len(before) :] == ["the", " ", "on", "e"]
    (the,) = tokenizer.encode("the")
    page.locator("#left .token", has_text="the").last.hover()
    detail = f"token {len(before)} · id {the} · bytes 74 68 65"
    expect(page.locator("#left .detail")).to_have_text(detail)


def test_tokens_appear_of_what_is_pasted(page):
    page.locator("#prompt textarea").fill("the one")
    expect(page.locator("#left .token:not(.next)").last).to_have_text("e")


def test_a_special_token_that_one_types_is_text(page):
    type_prompt(page, END)
    # A token each character: none of this tokenizer's merges is in it.
    expect(page.locator("#left .token")).to_have_count(2 + len(END) + 1)
    expect(page.locator("#left .token.special")).to_have_count(1)


def test_a_click_on_a_token_shows_what_was_expected_in_its_place(page):
    page.locator("#prompt textarea").fill("on the")
    rows = page.locator("#left .next-tokens tbody tr")
    expect(rows).to_have_count(10)
    expect(page.locator("#left .actual")).to_have_count(0)
    page.locator("#left .token", has_text="the").last.click()
    expect(page.locator("#left .actual code")).to_have_text(" the")
    expect(page.locator("#left .chosen")).to_have_text(" the")


def test_a_knob_changes_what_is_drawn_from(page):
    type_prompt(page, "on")
    first = page.locator("#left .next-tokens tbody tr").first.locator("td").last
    expect(first).not_to_have_text("100\u202f%")
    set_knob(page, "temperature", "0")
    expect(first).to_have_text("100\u202f%")


def test_the_text_is_the_commands_and_can_become_the_prompt(page, directory):
    run = load_run(directory, torch.device("cpu"))
    (theirs,) = write(run.model, run.tokenizer, "the", max_new_tokens=20, top_k=1, seed=4)
    type_prompt(page, "the")
    set_knob(page, "max new tokens", "20")
    set_knob(page, "top-k", "1")
    set_knob(page, "seed", "4")
    page.locator("#write").click()
    expect(page.locator("#left .status p")).to_contain_text(re.compile(r"tokens, [\d,]+ a second"))
    assert written(page) == theirs
    page.locator("#left .take").click()
    expect(page.locator("#prompt textarea")).to_have_value(theirs)
    shown = 2 + len(run.tokenizer.encode(theirs)) + 1
    expect(page.locator("#left .token")).to_have_count(shown)


def test_stop_ends_a_text_in_its_middle(page):
    set_knob(page, "max new tokens", "1024")
    set_knob(page, "temperature", "0")
    page.locator("#write").click()
    status = page.locator("#left .status p")
    expect(status).to_contain_text("…")
    page.locator("#stop").click()
    expect(status).to_contain_text("stopped")
    text = written(page)
    assert 0 < int(status.inner_text().split()[0]) < Limits().new_tokens
    page.wait_for_timeout(500)  # milliseconds, ten frames of a text that goes on
    assert written(page) == text
    expect(status).to_contain_text("stopped")


def test_a_bad_run_is_told_of_and_two_settings_can_stand_side_by_side(page, directory):
    right = page.locator("#right")
    alert = right.locator(".about [role=alert]")
    expect(alert).to_contain_text("missing is no run directory: it has no config.json")
    right.get_by_role("combobox", name="Run").click()
    right.get_by_role("option", name=str(directory), exact=True).click()
    expect(right.locator(".facts")).to_contain_text("step 7")
    expect(alert).to_have_count(0)
    for side, seed in (("#left", "1"), ("#right", "2")):
        set_knob(page, "max new tokens", "9", side)
        set_knob(page, "seed", seed, side)
    page.locator("#write").click()
    for side in ("#left", "#right"):
        expect(page.locator(f"{side} .status p")).to_contain_text("a second")
    assert written(page) != written(page, "#right")
    page.get_by_label("two side by side").uncheck()
    expect(right).to_be_hidden()


def test_the_browser_is_told_to_ask_no_one_else(url):
    with urllib.request.urlopen(url) as answer:
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';")
