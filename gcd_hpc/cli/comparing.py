"""The command that compares runs of one boundary or material."""

from pathlib import Path
from typing import Annotated

import typer

from gcd_hpc.cli.choosing import one_run
from gcd_hpc.cli.options import Boundary, Json
from gcd_hpc.cli.output import print_json, wide_console, written


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run directories or HDF5 files of results."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Figure to draw: PNG, SVG or PDF."),
    ] = None,
    boundary: Boundary = None,
    json: Json = False,
) -> None:
    """Compare runs of one boundary or material: lowest energies or spectrum errors, and cost.

    The campaigns may still be running; their in-plane cells may differ. One row a run says what it
    cost, its lowest energy and the work until then, at how many [n] it is as low as the lowest of
    all runs, and which sources found its lowest structures. With --out the figure is drawn: the
    lowest energies, the number of [n] reached against core-seconds, and the cost of each kind of
    source. Of sets, name the --boundary to compare.

    Of a material, one row a run says its smallest spectrum error and the energy of that candidate,
    a second one the means with and without guidance, their difference in pairs, and the energies of
    candidates and quenches.

    Energies of different boundaries or potentials, and errors to different targets, are not
    compared, only cost and sources, and no figure is drawn.

    \b
    Examples:
      gcd-hpc compare runs/w_sigma5 runs/w_sigma5_seed1 --out compare.png
      gcd-hpc compare runs/w_sigma5 results.h5 --json
    """
    from gcd_hpc.browse.compare import compare as put_side_by_side
    from gcd_hpc.browse.compare import comparison_view

    found = put_side_by_side(*(one_run(run, boundary, "compare") for run in runs))
    if out is not None:
        from gcd_hpc.browse.compare_figure import plot_comparison

        plot_comparison(found, out)
    if json:
        print_json(found.record())
        return
    wide_console().print(comparison_view(found))
    if out is not None:
        written(out, "a figure")
