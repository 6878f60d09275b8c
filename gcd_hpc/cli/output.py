"""How commands write. rich and HDF5 are loaded only when something is written."""

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
    """Let a terminal or pipe that lacks a character, such as Å, show a question mark for it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def console() -> "Console":
    """A console on standard output. What is printed cannot steer the terminal, although ids,
    reasons and paths may hold escape sequences.
    """
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
    """Print one line of text, without characters that steer the terminal."""
    print(printable(text), file=sys.stderr if to_stderr else sys.stdout)


def one_of(**options: bool) -> None:
    """Refuse options that exclude each other."""
    given = [f"--{name}" for name, is_given in options.items() if is_given]
    if len(given) > 1:
        raise GcdError(f"expected one of {' and '.join(given)}, got both; leave one out")


def written(out: Path, what: str) -> None:
    """Say that a file was written; on standard error where what was written may be on standard
    output.
    """
    say(f"{out}: {what}", to_stderr=is_stream(out))


def print_json(records: Any) -> None:
    """Print records as JSON on standard output."""
    from gcd_hpc.browse.tables import json_text

    print(json_text(records))
