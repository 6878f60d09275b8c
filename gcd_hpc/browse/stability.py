"""Tables of free energies and of phases that were held at a temperature."""

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gcd_hpc.campaign.table import new_table
from gcd_hpc.phases.free_energy import Plan, transitions
from gcd_hpc.phases.record import MeasuredRecord


def work_sentence(core_s: float, workers: int) -> str:
    """Estimated work of a command before it begins."""
    minutes = max(1.0, core_s / 60)
    return (
        f"about {minutes:.0f} core-minutes with a potential as quick as embedded atoms, in"
        f" {workers} process{'es' if workers > 1 else ''}"
    )


def plan_table(plans: Mapping[str, Plan]) -> Table:
    """Work of free energies before it begins."""
    table = new_table()
    for name in ("phase", "cells", "evaluations", "core-s", "memory, GB"):
        table.add_column(name, justify="left" if name in ("phase", "cells") else "right")
    for name, plan in plans.items():
        cells = " and ".join(f"{x}x{y}" for x, y in (plan.sizes.small, plan.sizes.large))
        table.add_row(
            *(name, cells, f"{plan.num_evaluations:,}", f"{plan.cpu_s:.0f}"),
            f"{plan.memory_gb:.2f}",
        )
    return table


def free_energy_records(records: Mapping[str, MeasuredRecord]) -> dict[str, Any]:
    """Free energies by phase and the transitions between them, as plain values."""
    return {
        "phases": {name: one.results for name, one in records.items()},
        "transitions": [vars(one) for one in transitions(records)],
    }


def free_energy_tables(records: Mapping[str, MeasuredRecord]) -> list[RenderableType]:
    """Free energy and error of each phase by temperature, and the transitions."""
    if not records:
        return []
    table = new_table("harmonic free energy of the boundary, J/m^2")
    table.add_column("T, K", justify="right")
    for name in records:
        table.add_column(Text(name), justify="right")
    first = next(iter(records.values())).results["temperatures_k"]
    for place, kelvin in enumerate(first):
        cells = (
            f"{one.results['free_energy_j_m2'][place]:.4f} ± {one.results['error_j_m2'][place]:.4f}"
            for one in records.values()
        )
        table.add_row(f"{kelvin:.0f}", *cells)
    return [table, *_transition_table(records)]


def _transition_table(records: Mapping[str, MeasuredRecord]) -> list[RenderableType]:
    found = transitions(records)
    if len(records) < 2:
        return []
    low, high = (next(iter(records.values())).results["temperatures_k"][end] for end in (0, -1))
    if not found:
        return [Text(f"no two phases have equal free energies from {low:.0f} to {high:.0f} K")]
    table = new_table("temperatures at which two phases have equal free energies")
    for name in ("lower below", "lower above", "T, K", "within the errors, K"):
        table.add_column(name)
    for one in found:
        between = f"{one.from_k:.0f} to {one.to_k:.0f}"
        table.add_row(one.below, one.above, f"{one.temperature_k:.0f}", between)
    return [table]


def hold_plan_table(work: Mapping[str, float]) -> Table:
    """Work of molecular dynamics before it begins, core-seconds by phase."""
    table = new_table()
    table.add_column("phase")
    table.add_column("core-s", justify="right")
    for name, cpu_s in work.items():
        table.add_row(name, f"{cpu_s:.0f}")
    return table


def hold_record(record: MeasuredRecord) -> dict[str, Any]:
    """Settings and results of one held phase, as plain values."""
    return {"settings": record.settings, "cpu_s": record.cpu_s, **record.results}


def hold_table(records: Mapping[str, MeasuredRecord]) -> Table:
    """What became of each phase, with its fingerprint against time."""
    first = next(iter(records.values()))
    table = new_table(
        f"held at {first.settings['temperature_k']:.0f} K for {first.settings['ps']:g} ps"
    )
    for name in ("phase", "it", "the same in", "mean T, K", "E_gb, J/m^2", "fingerprint moves by"):
        table.add_column(name)
    for name, record in records.items():
        found = record.results
        kelvin, distances = found["temperature_k"][1:], found["distances"]
        energies = [_known(one) for one in found["gb_energy_j_m2"]]
        # Beginning and end, and some snapshots between.
        some = distances[:: max(1, (len(distances) - 1) // 5)]
        table.add_row(
            *(name, found["verdict"], f"{found['num_same']} of {len(kelvin)}"),
            *(f"{sum(kelvin) / len(kelvin):.0f}", f"{energies[0]} to {energies[-1]}"),
            " ".join(f"{one:.3f}" for one in some),
        )
    return table


def _known(energy: float | None) -> str:
    return "none" if energy is None else f"{energy:.3f}"
