"""What every command writes with; rich and HDF5 are loaded when something is written."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def console() -> "Console":
    """Of standard output."""
    from rich.console import Console

    return Console()


def print_json(records: Any) -> None:
    """Records as JSON on standard output."""
    from gcd_hpc.browse.tables import json_text

    print(json_text(records))
