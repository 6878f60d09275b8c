"""Output of the commands; rich and HDF5 are loaded only when something is written."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcd_hpc.errors import GcdError, printable
from gcd_hpc.files import is_stream

if TYPE_CHECKING:
    from rich.console import Console


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


def say(text: str, to_stderr: bool = False) -> None:
    """Print one line of text without control characters."""
    print(printable(text), file=sys.stderr if to_stderr else sys.stdout)


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
