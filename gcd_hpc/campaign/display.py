"""Display of a driver's progress: a panel in a terminal or notebook, plain lines otherwise."""

import os
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from io import StringIO
from typing import Any

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gcd_hpc.campaign.progress import Snapshot, clock, expected_end
from gcd_hpc.campaign.table import new_table
from gcd_hpc.stages.merit import Merit

SECONDS_BETWEEN_LINES = 5.0
NOTEBOOK_WIDTH = 100
"""Characters in a line of the panel in a notebook."""


class Progress:
    """Progress display that shows nothing; base class of the others."""

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, snapshot: Snapshot) -> None:
        """Show a snapshot; called several times a second."""

    def note(self, text: str) -> None:
        """Print one line that stays on the screen."""


class PlainProgress(Progress):
    """Progress as plain lines: one every few seconds, and one at the start of each stage."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = self._stage = ""
        self._told: dict[str, str] = {}
        self._time = float("-inf")

    def show(self, snapshot: Snapshot) -> None:
        stage = f"{snapshot.stage}-{snapshot.round}"
        if stage == self._stage and time.monotonic() - self._time < SECONDS_BETWEEN_LINES:
            return
        best = f"; best {_lowest(snapshot)}" if snapshot.best else ""
        news = self._news("improvement", snapshot.improvement)
        news += self._news("sources", _holders(snapshot))
        end = expected_end(snapshot.campaign_s)
        line = "".join((snapshot.headline(), best, news, f"; {end}" if end else ""))
        if line != self._last:
            self.note(f"[{clock(snapshot.elapsed_s)}] {line}")
        self._last, self._stage = line, stage
        self._time = time.monotonic()

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _news(self, kind: str, text: str) -> str:
        """A text that is printed once, with the first line after it has changed."""
        is_new = text != self._told.get(kind, "")
        self._told[kind] = text
        return f"; {text}" if text and is_new else ""


class LiveProgress(Progress):
    """Progress as a panel that is redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(
            Text("getting ready"), console=console, refresh_per_second=4, transient=True
        )

    def __enter__(self) -> "LiveProgress":
        self._restore = _keep_output(self._live.console)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        self._restore()

    def show(self, snapshot: Snapshot) -> None:
        self._live.update(panel(snapshot))

    def note(self, text: str) -> None:
        self._live.console.print(text, markup=False, soft_wrap=True)


class NotebookProgress(Progress):
    """Progress as the panel in the output of a notebook's cell, redrawn in place."""

    def __enter__(self) -> "NotebookProgress":
        self._cell = _notebook().display(_html(Text("getting ready")), display_id=True)
        return self

    def show(self, snapshot: Snapshot) -> None:
        self._cell.update(_html(panel(snapshot)))

    def note(self, text: str) -> None:
        print(text, flush=True)


def _keep_output(console: Console) -> Callable[[], None]:
    """Keep Ctrl-C from discarding output that the terminal has yet to show; return what undoes it.

    A panel of which only a part was shown would be erased with lines above it.
    """
    with suppress(OSError, termios.error):
        terminal = console.file.fileno()
        before: int = termios.tcgetattr(terminal)[3]
        _set_modes(terminal, before | termios.NOFLSH)
        return partial(_set_modes, terminal, before)
    return lambda: None


def _set_modes(terminal: int, modes: int) -> None:
    """Set the local modes of a terminal, unless another job has it, when we would be stopped."""
    with suppress(OSError, termios.error):
        if os.tcgetpgrp(terminal) == os.getpgrp():
            attributes = termios.tcgetattr(terminal)
            attributes[3] = modes
            termios.tcsetattr(terminal, termios.TCSANOW, attributes)


def open_progress(console: Console) -> Progress:
    """Panel for a terminal that can redraw it or a notebook, plain lines for other outputs."""
    if console.is_jupyter:
        return NotebookProgress()
    return LiveProgress(console) if console.is_interactive else PlainProgress(console)


def panel(snapshot: Snapshot) -> RenderableType:
    """All that a snapshot says, as wide as the terminal and no wider."""
    # A progress bar needs a grid around it to end its line within a group.
    bar = Table.grid(expand=True)
    bar.add_row(ProgressBar(total=max(snapshot.total, 1.0), completed=snapshot.done))
    lines: list[RenderableType] = [
        Text(f"{snapshot.name}  {clock(snapshot.elapsed_s)}", style="bold"),
        Text(snapshot.headline()),
        bar,
    ]
    end = expected_end(snapshot.campaign_s)
    lines += [Text(end)] if end else []
    if snapshot.improvements:
        lines += [Text("last improvements:")]
        lines += [Text(f"  {text}") for text in reversed(snapshot.improvements)]
    tables = [best_table(snapshot.best, snapshot.merit)] if snapshot.best else []
    tables += [sources_table(snapshot.sources, snapshot.merit)] if snapshot.sources else []
    return Group(*lines, Columns(tables, padding=(0, 4)))


def best_table(best: Mapping[str, tuple[float, str]], merit: Merit) -> Table:
    """Table of the lowest figure of merit and its source by group, such as [n]."""
    rows = [(n, f"{value:.{merit.decimals}f}", source) for n, (value, source) in best.items()]
    return _table((merit.group, merit.heading, "source"), rows)


def sources_table(sources: Mapping[str, tuple[int, tuple[str, ...]]], merit: Merit) -> Table:
    """Table of each source's improvements, and of the groups whose lowest structure it found."""
    rows = [(name, f"{num:,}", " ".join(held) or "-") for name, (num, held) in sources.items()]
    return _table(("source", "improvements", f"lowest of {merit.group}"), rows)


def _table(headings: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Table:
    table = new_table()
    # Text, because rich would interpret "[n]" as markup.
    for heading in headings:
        table.add_column(Text(heading))
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _holders(snapshot: Snapshot) -> str:
    """Number of [n] whose lowest each source found, ``lowest of [n]: search 7, insert 3``."""
    held = [f"{name} {len(found)}" for name, (_, found) in snapshot.sources.items() if found]
    return f"lowest of {snapshot.merit.group}: {', '.join(held)}" if held else ""


def _lowest(snapshot: Snapshot) -> str:
    group, (value, source) = min(snapshot.best.items(), key=lambda item: item[1][0])
    return snapshot.merit.lowest(value, group, source)


def _notebook() -> Any:
    # Of the notebook that runs this, and no dependency.
    return import_module("IPython.display")


def _html(content: RenderableType) -> Any:
    nowhere = StringIO()  # only the record is wanted
    console = Console(file=nowhere, width=NOTEBOOK_WIDTH, record=True, force_jupyter=False)
    console.print(content)
    frame = '<pre style="line-height: normal">{code}</pre>'
    return _notebook().HTML(console.export_html(inline_styles=True, code_format=frame))
