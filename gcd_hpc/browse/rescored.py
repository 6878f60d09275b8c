"""Energies of a run's best structures before and after another engine relaxed them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table
from rich.text import Text

from gcd_hpc.browse.figures import BLUE, RED, new_figure, save
from gcd_hpc.browse.tables import UNIT, format_fraction, format_number
from gcd_hpc.campaign.table import new_table
from gcd_hpc.errors import StoreError
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.energetics import lowest_energies


def comparison(before: Sequence[Candidate], after: Sequence[Candidate]) -> list[dict[str, Any]]:
    """One record a structure, with its energies by both engines and its place at its [n] in both.

    A structure that the second engine could not relax has a reason in place of an energy.
    """
    ranks = [_ranks(before), _ranks(after)]
    return [
        {
            "id": old.id,
            "n_fraction": old.n_fraction,
            "gb_energy_j_m2": old.gb_energy_j_m2,
            "rank": ranks[0].get(old.id),
            "rescored_gb_energy_j_m2": new.gb_energy_j_m2,
            "rescored_rank": ranks[1].get(new.id),
            "converged": new.converged,
            "energies_from": new.energies_from,
            "reason": new.reason,
        }
        for old, new in zip(before, after, strict=True)
    ]


def _ranks(rows: Sequence[Candidate]) -> dict[str, int]:
    """Place of each relaxed structure among those of its [n], from 1."""
    ranks: dict[str, int] = {}
    numbers: dict[int, int] = {}
    for row in sorted(rows, key=lambda one: one.gb_energy_j_m2):
        if row.status == "ok":
            numbers[row.n_index] = ranks[row.id] = numbers.get(row.n_index, 0) + 1
    return ranks


def comparison_table(records: Sequence[dict[str, Any]], engine: str) -> Table:
    """Table for the terminal; the lowest of each [n] by the second engine is green."""
    table = new_table()
    for heading in ("[n]", f"before ({UNIT})", f"{engine} ({UNIT})", "rank", "rank", "candidate"):
        is_text = heading == "candidate"
        table.add_column(Text(heading), justify="left" if is_text else "right")
    for record in records:
        energy = format_number(record["rescored_gb_energy_j_m2"], 4)
        is_best = record["rescored_rank"] == 1
        name = record["id"] + (f"  {record['reason']}" if record["reason"] else "")
        table.add_row(
            format_fraction(record["n_fraction"]),
            format_number(record["gb_energy_j_m2"], 4),
            Text(energy + ("" if record["converged"] else "*"), style="green" if is_best else ""),
            str(record["rank"] or "-"),
            str(record["rescored_rank"] or "-"),
            Text(name),
        )
    if not all(record["converged"] for record in records):
        table.caption = "* not converged: an upper bound"
    return table


def draw_comparison(
    before: Sequence[Candidate], after: Sequence[Candidate], engine: str, path: Path
) -> Path:
    """Draw the lowest energy of each [n] by both engines to a file.

    Raises:
        StoreError: if the second engine could relax no structure.
    """
    if not any(row.status == "ok" for row in after):
        raise StoreError(f"{path}: nothing to draw: {engine} could relax none of the structures")
    return save(_figure(before, after, engine), path)


def _figure(before: Sequence[Candidate], after: Sequence[Candidate], engine: str) -> Figure:
    figure = new_figure()
    axes = figure.add_subplot()
    for rows, colour, mark, label in (
        (before, BLUE, "o", "run"),
        (after, RED, "D", engine),
    ):
        known = [row for row in rows if row.status == "ok"]
        fractions = np.array([row.n_fraction for row in known])
        energies = np.array([row.gb_energy_j_m2 for row in known])
        axes.scatter(fractions, energies, s=12, color=colour, alpha=0.4, linewidths=0)
        lowest = lowest_energies(fractions, energies)
        axes.plot(list(lowest), list(lowest.values()), mark, ls="-", color=colour, label=label)
    axes.set_xlabel("[n]")
    axes.set_ylabel(f"GB energy ({UNIT})")
    axes.legend()
    return figure
