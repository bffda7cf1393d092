"""The terminal while `uv run train` trains: the picture of the README, from a real run.

    uv run --group docs python docs/images/terminal.py [--step 1110]

runs it in a terminal of its own and an empty directory, where it makes its data first, and stops it
at that update. What the screen held then is in terminal.svg beside this file.
"""

import argparse
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import tempfile
import termios
from pathlib import Path

import pyte
from pyte.screens import Char
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[2]
COLUMNS, LINES = 100, 20


def screen_at(step: int) -> pyte.Screen:
    """What a terminal shows when the run has come to `step`, or to its end."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    command = ["uv", "run", "--project", str(ROOT), "train"]
    environment = os.environ | {"TERM": "xterm-256color"}
    with tempfile.TemporaryDirectory() as directory:
        run = subprocess.Popen(
            command, cwd=directory, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        while step_on(screen) < step and (shown := _read(ours)):
            stream.feed(shown)
        run.terminate()  # uv passes SIGTERM on, and leaves SIGINT to the terminal
        while _read(ours):  # until it has saved: a full terminal would make it wait
            pass
        run.wait()
    os.close(ours)
    return screen


def step_on(screen: pyte.Screen) -> int:
    """The update that the progress bar tells; 0 before there is one."""
    found = re.search(r"step ([\d,]+)/.* left +\S", "\n".join(screen.display))
    return int(found[1].replace(",", "")) if found else 0


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux: the other side is closed
        return b""


def picture(screen: pyte.Screen, title: str) -> str:
    """The SVG of what is on the screen, down to its last line with text."""
    count = max(y for y, line in enumerate(screen.display, start=1) if line.strip())
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    for y in range(count):
        chars = (screen.buffer[y][x] for x in range(COLUMNS))
        console.print(Text.assemble(*((char.data, _style(char)) for char in chars)), end="\n")
    # rich has the browser fetch a font; the page's own monospace is as good, and here already.
    return re.sub(r"@font-face \{.*?\}", "", console.export_svg(title=title), flags=re.S)


def _style(char: Char) -> str:
    color = {"brown": "yellow"}.get(char.fg, char.fg.replace("bright", "bright_"))
    color = f"#{color}" if re.fullmatch(r"[0-9a-f]{6}", color) else color
    return f"{'bold ' if char.bold else ''}{color}"


def main() -> None:
    """Runs, and writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--step", type=int, default=1110, help="the update to stop at (1110)")
    screen = screen_at(parser.parse_args().step)
    Path(__file__).with_suffix(".svg").write_text(picture(screen, "uv run train"), "utf-8")


if __name__ == "__main__":
    main()
