"""Commands about many boundaries at once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gcd_hpc.cli.options import Csv, Json
from gcd_hpc.cli.output import one_of, print_json, say, wide_console, written

if TYPE_CHECKING:
    from gcd_hpc.browse.overview import Overview


def overview(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Run directory of a set, or several runs or files of results."
        ),
    ],
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            metavar="FILE",
            help="CSV file of known energies: a column plane and one whose name ends in _j_m2.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Figure to draw: PNG, SVG or PDF."),
    ] = None,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """Compare many boundaries: lowest energies, their angles, the work so far.

    One row a boundary, in the order of kind, axis and misorientation angle. The campaign may still
    be running. With --out the figure is drawn: the lowest energy against the misorientation angle,
    one panel for each axis and kind, the lowest of the other [n] as light points, cusps labelled.
    The angle of a symmetric tilt is twice that between its plane and the plane of lowest indices
    that holds the axis: about [001] from 0 at (100) to 90 degrees at (110).

    With --reference, energies of a list are put beside those that were found and drawn as crosses.
    Its lines name symmetric tilts by plane, such as 2 1 0, or any boundary by angle_deg, kind and
    axis.

    \b
    Examples:
      gcd-hpc overview runs/cu_tilts
      gcd-hpc overview runs/cu_tilts --out overview.png --reference literature.csv
      gcd-hpc overview runs/cu_tilts runs/w_sigma5 --csv
    """
    one_of(json=json, csv=csv)
    from gcd_hpc.browse.overview import csv_records
    from gcd_hpc.browse.overview import overview as compare

    found = compare(*runs, reference=reference)
    if out is not None:
        from gcd_hpc.browse.overview_figure import plot_overview

        figure = plot_overview(found, out)
    if json:
        print_json(found.records())
    elif csv:
        from gcd_hpc.browse.listing import csv_text

        rows = csv_records(found)
        print(csv_text(rows, rows[0]), end="")
    else:
        print_overview(found)
        if out is not None:
            written(figure, "a figure")


def print_overview(found: "Overview") -> None:
    """Print the table of many boundaries and what its columns mean."""
    from gcd_hpc.browse.overview import overview_remarks, overview_table

    wide_console().print(overview_table(found))
    say(overview_remarks(found))


def conclude_set(run_dir: Path) -> None:
    """Print the overview of a set that has ended, and draw its figure into the run directory."""
    from gcd_hpc.browse.overview import overview as compare
    from gcd_hpc.browse.overview_figure import plot_overview
    from gcd_hpc.store.run_directory import RunDirectory

    found = compare(run_dir)
    print_overview(found)
    if any(row.id for row in found.rows):
        written(plot_overview(found, RunDirectory(run_dir).overview), "a figure")
