"""Command that lists the phases of a boundary and measures their excess properties."""

from pathlib import Path
from typing import Annotated

import typer

from gcd_hpc.cli.choosing import one_run
from gcd_hpc.cli.options import Boundary, Json, Results, Selection
from gcd_hpc.cli.output import print_json, wide_console


def phases(
    run: Results,
    top: Annotated[
        int, typer.Option("--top", min=1, help="Largest number of phases of each [n].")
    ] = 3,
    select: Selection = "",
    larger: Annotated[
        list[Path] | None,
        typer.Option(
            "--larger",
            metavar="RUN",
            help="Run of the same boundary in another in-plane cell; may be repeated.",
        ),
    ] = None,
    boundary: Boundary = None,
    json: Json = False,
) -> None:
    """List the phases of a run: its structures, each with a name, a rank and a layer group.

    Relaxed candidates are one phase if they are the same structure up to numerical differences,
    symmetry operations of the boundary and repetition in a larger in-plane cell. A name is [n] and
    the rank by energy within this [n], such as 1/5-1. With --larger, phases are found in several
    runs at once; ids of their candidates begin with the name of the run's folder.

    \b
    Examples:
      gcd-hpc phases runs/w_sigma5
      gcd-hpc phases runs/w_sigma5 --top 1 --json
      gcd-hpc phases runs/w_sigma5 --larger runs/w_sigma5_2x2
    """
    from gcd_hpc.browse.phases import phase_record, phases_table
    from gcd_hpc.phases.clustering import find_phases
    from gcd_hpc.store.run import open_run

    opened = open_run(one_run(run, boundary, "phases"))
    others = {path.resolve().name: open_run(path) for path in larger or []}
    found = find_phases(opened.select(select), top, others)
    if json:
        print_json([phase_record(one) for one in found])
    else:
        wide_console().print(phases_table(found, {}))
