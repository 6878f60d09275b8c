"""Output of the commands; rich and HDF5 are loaded only when something is written."""

import io
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcd_hpc.errors import GcdError, printable
from gcd_hpc.files import is_stream

if TYPE_CHECKING:
    from rich.console import Console

    from gcd_hpc.spectra.label import Progress as LabelProgress

TABLE_WIDTH = 160
"""Width in which every column of a wide table has room, characters."""


def prepare_terminal() -> None:
    """Write a question mark for characters, such as Å, that the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def console() -> "Console":
    """Console on standard output that removes escape sequences in ids, reasons and paths."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class SafeConsole(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterator[Segment]:
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else printable(text), style, control)

    return SafeConsole()


def wide_console() -> "Console":
    """Console with room for a table of many columns: a narrow terminal breaks its lines, but no
    cell is cut.
    """
    wide = console()
    wide.width = max(wide.width, TABLE_WIDTH)
    return wide


def say(text: str, to_stderr: bool = False) -> None:
    """Print one line of text without control characters."""
    print(printable(text), file=sys.stderr if to_stderr else sys.stdout)


def this_command() -> str:
    """The command that is running, as a line for the shell that repeats it in the same folder."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        words = [sys.executable, "-m", "gcd_hpc.cli"]
    else:
        on_path = shutil.which(program.name)
        is_found = on_path is not None and Path(on_path).resolve() == program.resolve()
        words = [program.name if is_found else str(program)]
    return shlex.join([*words, *sys.argv[1:]])


def resume_hint() -> str:
    """How to resume the command that is running, for the line that says that it was paused."""
    return f"resume it in this folder with: {this_command()}"


def note_how_to_go_on(error: GcdError, run_dir: Path) -> None:
    """Add the command that resumes a campaign to the error that ended it."""
    from gcd_hpc.campaign.ledger import read_state

    with suppress(GcdError):
        state = read_state(run_dir)
        if state is not None and state.failed:
            error.add_note(f"{run_dir}: once this is mended, {resume_hint()}")


def one_of(**options: bool) -> None:
    """Raise GcdError if more than one of the mutually exclusive options is given."""
    given = [f"--{name}" for name, is_given in options.items() if is_given]
    if len(given) > 1:
        raise GcdError(f"{' and '.join(given)} exclude each other; leave one out")


def written(out: Path, what: str) -> None:
    """Print that a file was written; on standard error if ``out`` is a stream such as stdout."""
    say(f"{out}: {what}", to_stderr=is_stream(out))


def print_json(records: Any) -> None:
    """Print records as JSON on standard output."""
    from gcd_hpc.browse.tables import json_text

    print(json_text(records))


@contextmanager
def labels_bar() -> Iterator[Callable[["LabelProgress"], None]]:
    """Progress of a labelling on standard error: a bar with pace and remaining time in a terminal,
    otherwise a line at each tenth of the atoms.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        *(TextColumn("Labelling"), BarColumn(), MofNCompleteColumn()),
        *(TextColumn("{task.description}"), TimeRemainingColumn(compact=True)),
    )
    screen = Console(stderr=True)
    said = -1
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def advance(now: "LabelProgress") -> None:
            nonlocal said
            pace = f"{now.core_s / now.num_done:.1f} core-s each" if now.num_done else ""
            failed = f", {now.num_failed} failed" if now.num_failed else ""
            bar.update(
                task, completed=now.num_done, total=now.num_all, description=f"{pace}{failed}"
            )
            tenth = 10 * now.num_done // max(1, now.num_all)
            if not screen.is_terminal and tenth > said and now.num_done:
                said = tenth
                line = f"labelled {now.num_done:,} of {now.num_all:,} atoms, {pace}{failed}"
                say(line, to_stderr=True)

        yield advance


@contextmanager
def phases_bar(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """Progress bar on standard error for ``phases.measuring.measure``; none if that is no terminal.

    Args:
        what: is measured.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as bar:
        task = bar.add_task(what, total=None)

        def advance(num_done: int, num_all: int, name: str) -> None:
            bar.update(task, completed=num_done, total=num_all, description=f"{what} {name}")

        yield advance
