"""Table and records of the phases of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from gcd_hpc.browse.tables import UNIT
from gcd_hpc.campaign.table import new_table
from gcd_hpc.phases.phase import Phase
from gcd_hpc.phases.record import MeasuredRecord


def phase_record(phase: Phase, excess: MeasuredRecord | None = None) -> dict[str, Any]:
    """A phase as plain data, with its measured excess properties if they are known."""
    one = phase.representative
    return {
        "phase": phase.name,
        "n_index": phase.n_index,
        "n_fraction": phase.n_fraction,
        "gb_energy_j_m2": phase.gb_energy_j_m2,
        "excess_volume_a": phase.excess_volume_a,
        "layer_group": phase.layer_group,
        "relative": phase.relative,
        "defect_energy_ev": phase.defect_energy_ev,
        "candidate": one.id,
        "num_atoms": one.num_atoms,
        "replicas": list(phase.replicas),
        "num_found": phase.num_found,
        "members": list(phase.members),
        "excess": None if excess is None else excess.results,
    }


def phases_table(phases: Sequence[Phase], excess: Mapping[str, MeasuredRecord]) -> Table:
    """Table of phases for the terminal.

    Args:
        excess: records of measured excess properties, by the phase's name.
    """
    table = new_table()
    stress = ("stress xx, yy, xy (N/m)",) if excess else ()
    for heading in ("phase", f"GB energy ({UNIT})", "excess volume (Å)", *stress):
        table.add_column(Text(heading), justify="left" if heading == "phase" else "right")
    for heading in ("found", "layer group", "candidate", "is"):
        table.add_column(heading, justify="right" if heading == "found" else "left")
    for phase in phases:
        known = excess.get(phase.name)
        table.add_row(
            Text(phase.name),
            f"{phase.gb_energy_j_m2:.4f}",
            f"{phase.excess_volume_a:.3f}",
            *((_stress(known),) if excess else ()),
            f"{phase.num_found:,}",
            Text(phase.layer_group),
            Text(phase.representative.id),
            Text(relation(phase)),
        )
    return table


def _stress(record: MeasuredRecord | None) -> str:
    if record is None:
        return "-"
    return ", ".join(f"{one:.3f}" for one in record.results["excess_stress_n_m"])


def relation(phase: Phase) -> str:
    """Another phase and the point defects that make it this one, with their energy."""
    if phase.defect_energy_ev is None:
        return phase.relative
    return f"{phase.relative}, {phase.defect_energy_ev:.2f} eV each"
