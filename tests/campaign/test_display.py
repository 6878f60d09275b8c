"""The panel of a running campaign in a terminal emulator, and through a pipe."""

import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import replace

import pyte
import pytest
from rich.console import Console

from gcd_hpc.campaign.display import LiveProgress, NotebookProgress, PlainProgress
from gcd_hpc.campaign.progress import Snapshot

HELD = {"search": ("0", "0.3", "0.6"), "insert": ("0.1", "0.4"), "model 01": ("0.2", "0.5")}
BEST = {n: (3.2 - float(n), name) for name, held in HELD.items() for n in held}
SNAPSHOT = Snapshot(
    name="w_sigma5",
    stage="explore",
    round=1,
    rounds=2,
    done=120,
    total=400,
    unit="moves",
    detail="generation 3/8",
    rate=3.0,
    elapsed_s=1000.0,
    best=dict(sorted(BEST.items())),
    improvements=("insert lowered [0.4] from 2.900 to 2.800 J/m^2",) * 3,
    sources={name: (len(held) + 20, held) for name, held in HELD.items()},
    campaign_s=4000.0,
)
# Shows progress until Ctrl-C, then what a driver shows while it waits and ends.
DRIVER = """
import sys
import termios
import time
from dataclasses import replace
from rich.console import Console
from gcd_hpc.campaign.display import open_progress
from gcd_hpc.campaign.signals import Signals
from tests.campaign.test_display import SNAPSHOT

before = termios.tcgetattr(1) if sys.stdout.isatty() else None
with Signals() as signals, open_progress(Console()) as display:
    display.note("search-00003: a process was lost")
    done = 0
    while signals.number is None and done < 2000:
        done += 1
        # The panel grows and shrinks.
        best = dict(list(SNAPSHOT.best.items())[: 1 + done % 7])
        display.show(replace(SNAPSHOT, done=done % 400, best=best))
        time.sleep(0.02)
    display.note(f"{signals.name}: finishing what runs, 2 s at most; Ctrl-C stops at once")
    display.show(SNAPSHOT)
    time.sleep(0.5)
assert before is None or termios.tcgetattr(1) == before
print("runs/a: paused by SIGINT; resume it in this folder with: gcd-hpc campaign a.yaml")
"""


class Terminal(io.StringIO):
    """A file that a terminal emulator shows; a line feed returns the carriage, as ttys do."""

    def __init__(self, width: int, height: int = 40) -> None:
        super().__init__()
        self.screen = pyte.Screen(width, height)
        self._stream = pyte.Stream(self.screen)

    def write(self, text: str) -> int:
        self._stream.feed(text.replace("\n", "\r\n"))
        return len(text)

    def lines(self) -> list[str]:
        """Lines down to the last one that is not empty."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip().split("\n")


def shown(width: int, **changes) -> tuple[list[str], list[str]]:
    """Lines of the panel, and of the screen after it was closed."""
    terminal = Terminal(width)
    console = Console(file=terminal, force_terminal=True, width=width, height=40)
    with LiveProgress(console) as display:
        for done in range(0, 400, 100):
            display.show(replace(SNAPSHOT, done=done, **changes))
            display._live.refresh()
        display.show(replace(SNAPSHOT, **changes))
        display._live.refresh()
        panel = terminal.lines()
    return panel, terminal.lines()


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_panel_says_all_at_any_width_and_leaves_nothing_behind(width):
    panel, after = shown(width)
    text = " ".join(" ".join(panel).split())
    assert panel[0] == "w_sigma5  16:40"
    assert "exploring from the best structures: 120/400 moves (3.0/s, 1:33 left)" in text
    assert re.search(r"campaign ends about (\d{4}-\d\d-\d\d )?\d\d:\d\d \(1:06:40 left\)", text)
    assert text.count("insert lowered [0.4] from 2.900 to 2.800 J/m^2") == 3
    (bar,) = [line for line in panel if "\u2501" in line]
    assert len(bar) == width
    assert not any(mark in text for mark in ("\u2026", "..."))
    # The tables stand side by side where there is room, and below each other elsewhere.
    headings = "[n]  best E_gb (J/m^2)  source", "source    improvements  lowest of [n]"
    places = [[row for row, line in enumerate(panel) if one in line] for one in headings]
    assert [len(rows) for rows in places] == [1, 1]
    assert (places[0] == places[1]) == (width > 60)
    assert sum(bool(re.search(r"\b0\.3  2\.900", line)) for line in panel) == 1
    assert re.search(r"search +23 +0 0\.3 0\.6", "\n".join(panel))
    assert after == [""]


@pytest.mark.parametrize("width", [20, 39])
def test_a_narrow_panel_breaks_lines_and_keeps_words(width):
    panel, after = shown(width, best={}, sources={})
    assert "16:40" in panel[0]
    assert "120/400" in " ".join(panel)
    assert max(map(len, panel)) <= width
    assert after == [""]


def test_a_panel_of_a_set_names_boundaries():
    panel, _ = shown(80, sources={"search": (7, ("s5_210", "s13_320"))}, best={})
    assert "search  7             s5_210 s13_320" in panel


def run_in_terminal(width: int, term: str) -> tuple[Terminal, str]:
    """A driver in a terminal of its own, stopped by Ctrl-C as a user types it."""
    child, tty = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        # Without the COLUMNS that readline or xdist set, and which rich would believe.
        environment = os.environ | {"TERM": term, "PYTHONPATH": os.pathsep.join(sys.path)}
        environment.pop("COLUMNS", None)
        os.execve(sys.executable, [sys.executable, "-c", DRIVER], environment)
    terminal, raw, has_typed = Terminal(width), b"", 0
    limit = time.monotonic() + 60
    try:
        while time.monotonic() < limit:
            if not select.select([tty], [], [], 0.5)[0]:
                continue
            piece = os.read(tty, 4096)
            raw += piece
            if not has_typed and raw.count(b"/400") > (4 if term != "dumb" else 0):
                has_typed = os.write(tty, b"\x03")
    except OSError:
        pass  # the end of a terminal whose process has ended
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(tty)
    text = raw.decode()
    terminal.write(text.replace("\r\n", "\n"))
    return terminal, text


@pytest.mark.parametrize("width", [60, 80, 140])
def test_after_ctrl_c_only_what_stays_is_on_the_screen(width):
    terminal, raw = run_in_terminal(width, "xterm-256color")
    assert max(map(len, re.findall("\u2501+", raw.replace("\u257a", "\u2501")))) <= width
    assert "^C" in raw, "the terminal echoed what was typed"
    text = " ".join("".join(line.ljust(width) for line in terminal.lines()).split())
    assert text.replace("^C", "") == (
        "search-00003: a process was lost SIGINT: finishing what runs, 2 s at most; Ctrl-C stops at"
        " once runs/a: paused by SIGINT; resume it in this folder with: gcd-hpc campaign a.yaml"
    )


def test_a_dumb_terminal_gets_plain_lines():
    _, raw = run_in_terminal(80, "dumb")  # whose lines are five seconds apart
    assert "\x1b" not in raw
    assert "[16:40] round 1/2, exploring" in raw


def test_a_pipe_gets_plain_lines_in_any_encoding():
    code = DRIVER.replace("< 2000", "< 20")
    environment = os.environ | {
        "PYTHONIOENCODING": "ascii",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert (done.stderr, "\x1b" in done.stdout) == ("", False)
    first = done.stdout.splitlines()[1]
    assert first.startswith("[16:40] round 1/2, exploring from the best structures: 1/400 moves")
    assert "; lowest of [n]: search 3, insert 2, model 01 2; campaign ends about " in first


def test_a_notebook_gets_the_panel_as_text_in_its_cell(monkeypatch):
    shown = []

    class Cell:
        def update(self, page):
            shown.append(page.data)

    monkeypatch.setattr("IPython.display.display", lambda page, display_id: Cell())
    with NotebookProgress() as display:
        display.show(SNAPSHOT)
    (page,) = shown
    text = re.sub(r"<[^>]+>", "", page)
    assert "exploring from the best structures: 120/400 moves (3.0/s, 1:33 left)" in text
    assert "search    23            0 0.3 0.6" in text


def test_what_each_source_found_is_told_again_only_when_it_changes():
    text = io.StringIO()
    display = PlainProgress(Console(file=text, width=200))
    for stage in ("explore", "train", "relax"):
        display.show(replace(SNAPSHOT, stage=stage))
    display.show(replace(SNAPSHOT, stage="sample", sources={"search": (24, ("0", "0.3"))}))
    assert text.getvalue().count("lowest of [n]: search 3") == 1
    assert text.getvalue().count("lowest of [n]: search 2") == 1
