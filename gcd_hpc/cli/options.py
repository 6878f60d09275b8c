"""Arguments and options that several commands have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from gcd_hpc.errors import GcdError, did_you_mean


def one_of_these(name: str, known: Sequence[str], meaning: str) -> Any:
    """Typer option with a fixed set of values; the error for another value names the nearest."""

    def check(value: str) -> str:
        if value not in known:
            names = ", ".join(known)
            raise GcdError(
                f"{name} must be one of {names}, got {value}{did_you_mean(value, known)}"
            )
        return value

    return typer.Option(name, metavar=f"[{'|'.join(known)}]", help=meaning, callback=check)


CampaignFile = Annotated[
    Path, typer.Option("--campaign", "-c", metavar="FILE", help="Campaign file of the boundary.")
]
RunDir = Annotated[
    Path | None,
    typer.Option("--run-dir", metavar="DIR", help="Run directory; runs/NAME when not given."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the file; may be repeated."),
]
SiteFile = Annotated[
    Path | None,
    typer.Option("--site", metavar="FILE", help="Site file or name; detected when not given."),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run directory of a campaign.")]
Results = Annotated[
    Path, typer.Argument(metavar="RUN", help="Run directory or HDF5 file of results.")
]
Boundary = Annotated[
    str | None,
    typer.Option("--boundary", metavar="NAME", help="Boundary of a set, as overview names them."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
_SELECT = (
    "Candidates for which all words hold, such as 'n=0.2 energy<2.4 source=model round=1,2"
    " status!=failed'."
)
Selection = Annotated[str, typer.Option("--select", metavar="TEXT", help=_SELECT)]
Unique = Annotated[
    bool,
    typer.Option("--unique", help="Only the lowest candidate of each phase, as phases lists them."),
]
PerN = Annotated[
    bool, typer.Option("--per-n", help="Only the lowest of each [n], or the --num lowest of each.")
]
Num = Annotated[
    int | None,
    typer.Option(
        "--num", min=0, help="Largest number, with --per-n of each [n]; 0 for all. See above."
    ),
]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")]
FigureFile = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="PNG, SVG or PDF; beside the data when not given."),
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers", min=1, help="Number of processes that measure, each with its own engine."
    ),
]
