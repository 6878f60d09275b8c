"""Command that lists the phases of a boundary and measures their excess properties."""

from pathlib import Path
from typing import Annotated

import typer

from gcd_hpc.cli.choosing import one_run
from gcd_hpc.cli.options import Boundary, Json, Results, Selection, Workers
from gcd_hpc.cli.output import phases_bar, print_json, say, wide_console
from gcd_hpc.errors import GcdError


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
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Measure the excess properties of the listed phases first."),
    ] = False,
    strain: Annotated[
        float,
        typer.Option(
            "--strain",
            min=1e-5,
            max=1e-2,
            help="With --measure: strain by which the energy is differentiated.",
        ),
    ] = 1e-3,
    workers: Workers = 1,
    boundary: Boundary = None,
    json: Json = False,
) -> None:
    """List the phases of a run: its structures, each with a name, a rank and a layer group.

    Relaxed candidates are one phase if they are the same structure up to numerical differences,
    symmetry operations of the boundary and repetition in a larger in-plane cell. A name is [n] and
    the rank by energy within this [n], such as 1/5-1. With --larger, phases are found in several
    runs at once; ids of their candidates begin with the name of the run's folder. With --select,
    phases are listed that one of the selected candidates belongs to.

    With --measure each phase is relaxed in a thicker slab, and its excess energy, volume and stress
    are measured: the stress from the virials of the atoms, and again from the change of energy with
    in-plane strain. The results are stored in RUN/phases/excess, and are not measured again by a
    second start. The exit code is 1 if a phase could not be measured; the reasons are on standard
    error.

    \b
    Examples:
      gcd-hpc phases runs/w_sigma5
      gcd-hpc phases runs/w_sigma5 --top 1 --measure --workers 2
      gcd-hpc phases runs/w_sigma5 --select "n=0.2,0.4" --json
      gcd-hpc phases runs/w_sigma5 --larger runs/w_sigma5_2x2
    """
    from gcd_hpc.browse.phases import phase_record, phases_table
    from gcd_hpc.phases.clustering import find_phases
    from gcd_hpc.phases.measuring import measured
    from gcd_hpc.store.run import open_run

    opened = open_run(one_run(run, boundary, "phases"))
    others = {path.resolve().name: open_run(path) for path in larger or []}
    if len(others) < len(larger or []):
        raise GcdError("--larger: two runs have one name, by which ids begin; rename a folder")
    found = find_phases(opened, top, others)
    if select:
        # Names are those among all candidates: what is measured is stored by them.
        chosen = set(opened.select(select).columns(["id"])["id"].tolist())
        found = [one for one in found if not chosen.isdisjoint(one.members)]
    failures: dict[str, str] = {}
    if measure:
        from gcd_hpc.phases.excess import excess_of

        with phases_bar("excess properties") as advance:
            failures = excess_of(opened, found, strain, workers, advance).failures
    excess = {one.name: known for one in found if (known := measured(opened, one, "excess"))}
    if json:
        print_json([phase_record(one, excess.get(one.name)) for one in found])
    else:
        wide_console().print(phases_table(found, excess))
    for name, reason in failures.items():
        say(f"{name}: {reason}", to_stderr=True)
    if failures:
        raise typer.Exit(1)
