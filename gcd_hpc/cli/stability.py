"""Commands that say at which temperatures the phases of a boundary are stable."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gcd_hpc.cli.choosing import one_run
from gcd_hpc.cli.options import Boundary, Json
from gcd_hpc.cli.output import console, print_json, say

if TYPE_CHECKING:
    from gcd_hpc.phases.phase import Phase
    from gcd_hpc.store.run import Run

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Run directory of a campaign.")]
Phases = Annotated[
    list[str] | None,
    typer.Option("--phase", metavar="NAME", help="Phase or candidate; may be repeated."),
]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Number of processes.")]
Planned = Annotated[bool, typer.Option("--plan", help="Print the work without doing it.")]


def free_energy(
    run: RunArgument,
    phase: Phases = None,
    temperature: Annotated[
        str,
        typer.Option(
            "--temperature",
            metavar="FROM:TO[:NUM]",
            help="Temperatures in K or, with Tm, in melting points of the element.",
        ),
    ] = "0:0.5Tm:11",
    in_plane: Annotated[
        float,
        typer.Option("--in-plane", min=2.0, help="Least in-plane edge of the repeated phase, Å."),
    ] = 20.0,
    displacement: Annotated[
        float, typer.Option("--displacement", min=0.0005, max=0.1, help="Of an atom, Å.")
    ] = 0.01,
    workers: Workers = 1,
    plan: Planned = False,
    boundary: Boundary = None,
    json: Json = False,
) -> None:
    """Harmonic free energy of phases against temperature, with errors and transitions.

    The lowest phase of each [n] is measured where none is named. Force constants come from finite
    displacements. Free energies of different [n] have a common reference: further atoms are taken
    from the crystal. The error compares two cells, two displacements and two depths of the held
    layers. Results lie in RUN/phases/free-energy/PHASE.json; the same command reads them, and
    continues one that was killed. The exit code is 1 if no phase could be measured.

    \b
    Examples:
      gcd-hpc free-energy runs/w_sigma5 --plan
      gcd-hpc free-energy runs/w_sigma5 --phase 1/5-1 --phase 2/5-1
      gcd-hpc free-energy runs/w_sigma5 --temperature 300:1500:13 --workers 2 --json
    """
    from gcd_hpc.browse.stability import free_energy_records, free_energy_tables, plan_table
    from gcd_hpc.phases.free_energy import KIND, measure_free_energy, plan_of, settings_of
    from gcd_hpc.phases.measuring import measure
    from gcd_hpc.phases.system import PhaseSystem
    from gcd_hpc.phases.temperatures import temperatures_of
    from gcd_hpc.store.run import open_run

    opened = open_run(one_run(run, boundary, "free-energy"))
    kelvin = temperatures_of(temperature, opened.element)
    chosen = _chosen(opened, phase)
    system = PhaseSystem.of_run(opened.path)
    plans = {one.name: plan_of(system, one.representative, in_plane) for one in chosen}
    if not json or plan:
        console().print(plan_table(plans, workers))
    if plan:
        return
    settings = settings_of(kelvin, in_plane, displacement)
    found = measure(opened, chosen, KIND, settings, measure_free_energy, workers, _progress)
    if json:
        print_json(free_energy_records(found.records))
    else:
        for table in free_energy_tables(found.records):
            console().print(table)
    for name, reason in found.failures.items():
        say(f"{name}: {reason}", to_stderr=True)
    if not found.records:
        raise typer.Exit(1)


def _chosen(run: "Run", names: list[str] | None) -> "list[Phase]":
    """The named phases, or the lowest of each [n]."""
    from gcd_hpc.phases.clustering import find_phases
    from gcd_hpc.phases.phase import phase_named

    if not names:
        return find_phases(run, num_per_n=1)
    phases = find_phases(run)
    return [phase_named(phases, name) for name in names]


def _progress(num: int, total: int, name: str) -> None:
    say(f"{num} of {total} phases{f': {name}' if name else ''}", to_stderr=True)
