"""What every command writes with; rich and HDF5 are loaded when something is written."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcd_hpc.errors import GcdError
from gcd_hpc.files import is_stream

if TYPE_CHECKING:
    from rich.console import Console


def console() -> "Console":
    """Of standard output."""
    from rich.console import Console

    return Console()


def one_of(**options: bool) -> None:
    """Refuse options that exclude each other."""
    given = [f"--{name}" for name, is_given in options.items() if is_given]
    if len(given) > 1:
        raise GcdError(f"expected one of {' and '.join(given)}, got both; leave one out")


def written(out: Path, what: str) -> None:
    """Say that a file was written; on standard error where what was written may be on standard
    output.
    """
    print(f"{out}: {what}", file=sys.stderr if is_stream(out) else sys.stdout)


def print_json(records: Any) -> None:
    """Records as JSON on standard output."""
    from gcd_hpc.browse.tables import json_text

    print(json_text(records))
