"""What every command writes with; rich and HDF5 are loaded when something is written."""

from typing import TYPE_CHECKING, Any

from gcd_hpc.errors import GcdError

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


def print_json(records: Any) -> None:
    """Records as JSON on standard output."""
    from gcd_hpc.browse.tables import json_text

    print(json_text(records))
