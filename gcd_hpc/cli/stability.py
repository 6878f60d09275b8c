"""Commands that say at which temperatures the phases of a boundary are stable."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gcd_hpc.cli.choosing import one_run
from gcd_hpc.cli.options import Boundary, Json, Workers, one_of_these
from gcd_hpc.cli.output import phases_bar, print_json, say, wide_console
from gcd_hpc.errors import GcdError

if TYPE_CHECKING:
    from gcd_hpc.phases.phase import Phase
    from gcd_hpc.store.run import Run

ENDS = ("periodic", "free-surface")
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Run directory of a campaign.")]
Phases = Annotated[
    list[str] | None,
    typer.Option("--phase", metavar="NAME", help="Phase or candidate; may be repeated."),
]
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
    from gcd_hpc.browse.stability import (
        free_energy_records,
        free_energy_tables,
        plan_table,
        work_sentence,
    )
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
        wide_console().print(plan_table(plans))
        say(work_sentence(sum(one.cpu_s for one in plans.values()), workers))
    if plan:
        return
    settings = settings_of(kelvin, in_plane, displacement)
    with phases_bar("free energy") as advance:
        found = measure(opened, chosen, KIND, settings, measure_free_energy, workers, advance)
    if json:
        print_json(free_energy_records(found.records))
    else:
        for table in free_energy_tables(found.records):
            wide_console().print(table)
    for name, reason in found.failures.items():
        say(f"{name}: {reason}", to_stderr=True)
    if not found.records:
        raise typer.Exit(1)


def hold(
    run: RunArgument,
    phase: Phases = None,
    temperature: Annotated[
        str,
        typer.Option(
            "--temperature", metavar="T", help="In K or, with Tm, in melting points of the element."
        ),
    ] = "0.3Tm",
    ps: Annotated[
        float, typer.Option("--ps", min=0.01, help="Length of the dynamics, ps.")
    ] = 100.0,
    replicas: Annotated[
        str, typer.Option("--replicas", metavar="XxY", help="Repeats of the phase in the plane.")
    ] = "2x2",
    snapshots: Annotated[int, typer.Option("--snapshots", min=1, help="Number of snapshots.")] = 20,
    ends: Annotated[
        str, one_of_these("--ends", ENDS, "How the boundary ends along x.")
    ] = "periodic",
    reservoir: Annotated[
        int,
        typer.Option(
            "--reservoir", help="Atoms put into the boundary, or taken from it, at x = 0."
        ),
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the random numbers.")] = 1,
    workers: Workers = 1,
    plan: Planned = False,
    boundary: Boundary = None,
    json: Json = False,
) -> None:
    """Hold phases at a temperature by molecular dynamics, and say whether they stay.

    The phase is repeated in the plane. Its bottom layers are held, its top layers move as one body,
    and a Langevin thermostat acts on all atoms between. Snapshots are quenched, and their
    fingerprints are compared with the phase's. The lowest phase of the run is held where none is
    named; any candidate's id may be. Results lie in RUN/phases/hold/PHASE.json; the same command
    reads them, and continues one that was killed. The exit code is 1 if nothing could be held.

    \b
    In a periodic cell no atom comes or goes, so that [n] of the whole boundary stays.
      --ends free-surface  cuts the cell open along x: atoms may come from and go to the surfaces
      --reservoir 4        puts four atoms into a strip of the boundary (-4 takes four), from which
                           they may spread

    \b
    Examples:
      gcd-hpc hold runs/w_sigma5 --phase 1/5-1 --temperature 0.3Tm --plan
      gcd-hpc hold runs/w_sigma5 --phase 1/5-1 --phase 2/5-1 --ps 200 --workers 2
      gcd-hpc hold runs/w_sigma5 --phase 1/5-1 --replicas 6x1 --ends free-surface
    """
    from gcd_hpc.browse.stability import hold_plan_table, hold_record, hold_table, work_sentence
    from gcd_hpc.phases.holding import KIND, hold_cpu_s, hold_settings, measure_hold
    from gcd_hpc.phases.measuring import measure
    from gcd_hpc.phases.temperatures import temperature_of
    from gcd_hpc.store.run import open_run

    opened = open_run(one_run(run, boundary, "hold"))
    kelvin = temperature_of(temperature, opened.element)
    settings = hold_settings(kelvin, ps, snapshots, _replicas(replicas), ends, reservoir, seed)
    chosen = _chosen_to_hold(opened, phase)
    work = {one.name: hold_cpu_s(one.representative, settings) for one in chosen}
    if not json or plan:
        wide_console().print(hold_plan_table(work))
        say(work_sentence(sum(work.values()), workers))
    if plan:
        return
    with phases_bar("holding") as advance:
        found = measure(opened, chosen, KIND, settings, measure_hold, workers, advance)
    if json:
        print_json({name: hold_record(one) for name, one in found.records.items()})
    elif found.records:
        wide_console().print(hold_table(found.records))
    for name, reason in found.failures.items():
        say(f"{name}: {reason}", to_stderr=True)
    if not found.records:
        raise typer.Exit(1)


def _replicas(text: str) -> tuple[int, int]:
    """Repeats in the plane from a text such as ``2x2``."""
    match = re.fullmatch(r"([1-9]\d?)x([1-9]\d?)", text)
    if match is None:
        raise GcdError(f"--replicas must be two numbers from 1 to 99 such as 2x2, got {text!r}")
    return int(match[1]), int(match[2])


def _chosen_to_hold(run: "Run", names: list[str] | None) -> "list[Phase]":
    """The named phases or candidates, or the lowest phase."""
    from gcd_hpc.phases.clustering import find_phases
    from gcd_hpc.phases.holding import as_phase
    from gcd_hpc.phases.phase import phase_named

    phases = find_phases(run)
    if not names:
        return [min(phases, key=lambda one: one.gb_energy_j_m2)]
    members = {name for one in phases for name in (one.name, one.file_name, *one.members)}
    every = set(run.columns(["id"])["id"].tolist())
    return [
        as_phase(run[name]) if name in every - members else phase_named(phases, name)
        for name in names
    ]


def _chosen(run: "Run", names: list[str] | None) -> "list[Phase]":
    """The named phases, or the lowest of each [n]."""
    from gcd_hpc.phases.clustering import find_phases
    from gcd_hpc.phases.phase import phase_named

    if not names:
        return find_phases(run, num_per_n=1)
    phases = find_phases(run)
    return [phase_named(phases, name) for name in names]
