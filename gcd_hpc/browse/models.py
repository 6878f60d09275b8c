"""The card of a model, as data and as tables."""

from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gcd_hpc.campaign.progress import clock
from gcd_hpc.campaign.table import new_table
from gcd_hpc.stages.record import stored_record

MOST_LINES = 30
"""Boundaries of a model that are listed one by one unless all of them are asked for."""


def model_record(path: Path) -> dict[str, Any]:
    """All facts of a model file; those that an old file does not state are None or empty.

    Raises:
        CheckpointError: if it is missing, damaged or no boundary model.
    """
    # A late import: all else in this package is read without torch.
    from gcd_hpc.learning.model_file import load_model

    weights, card = load_model(path)
    record, fields = stored_record(path), asdict(card)
    units, loss = fields.pop("units"), fields.pop("validation_loss")
    formats = {str(one.dtype).removeprefix("torch.") for one in weights.values()}
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "num_weights": sum(one.numel() for one in weights.values()),
        "dtype": ", ".join(sorted(formats)),
        **fields,
        "voxel_scale": units["scale"],
        "condition_scale": units["of_one"],
        "relative_std": units["relative_std"],
        "hold_out_loss": loss if isfinite(loss) else None,
        "num_structures": card.num_structures,
        "cpu_s": None if record is None else record.cpu_s,
        "seconds": None if record is None else record.seconds,
        "started": None if record is None else record.started,
    }


def model_view(record: dict[str, Any], all_boundaries: bool = False) -> list[RenderableType]:
    """The record for people: what the model is, then what it has learned from.

    Args:
        all_boundaries: a line for each boundary, however many there are. Otherwise more than
            MOST_LINES of them are summed up by metal.
    """
    facts = new_table(show_header=False)
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for name, text in _facts(record):
        facts.add_row(name, Text(text))
    boundaries = record["boundaries"]
    if not boundaries:
        return [facts]
    if all_boundaries or len(boundaries) <= MOST_LINES:
        return [facts, "", _boundary_table(boundaries)]
    return [facts, "", _metal_table(boundaries), "Each boundary: --boundaries"]


def _facts(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and values of the lines above the table; unknown ones are left out."""
    network, boundaries = record["network"], record["boundaries"]
    num_learned = sum(not one["is_held_out"] for one in boundaries)
    elements = ", ".join(sorted({name for one in boundaries for name in one["elements"]}))
    if not boundaries:
        elements = ", ".join(record["elements"]) or "any one element"
    size = f"{record['num_weights']:,} weights, {record['dtype']}, {record['bytes'] / 1e6:.1f} MB"
    keys = ", ".join(f"{key} {value}" for key, value in network.items() if value is not None)
    facts = [("file", record["file"]), ("size", size), ("network", keys), ("elements", elements)]
    if boundaries:
        learned = f"{record['num_structures']:,} structures of {num_learned} boundaries"
        facts.append(("learned from", learned))
    if record["started_from"]:
        facts.append(("started from", f"the model with the SHA-256 {record['started_from'][:16]}"))
    if record["num_steps"] is not None:
        facts.append(("steps", f"{record['num_steps']:,}, seed {record['seed']}"))
    if record["cpu_s"] is not None:
        cost = f"{record['cpu_s']:,.0f} core-seconds, {clock(record['seconds'])} of wall time"
        facts.append(("cost", cost))
    facts.append(("energies", _told(record)))
    if record["hold_out_loss"] is not None:
        facts.append(("hold-out loss", f"{record['hold_out_loss']:.4f}"))
    facts.append(("SHA-256", record["sha256"]))
    return facts


def _told(record: dict[str, Any]) -> str:
    """How energies are told to the network."""
    scale = record["condition_scale"]
    if scale is None:
        return (
            "as excess over the lowest known of the same [n], in units of"
            f" {record['relative_std']:.3f} times the lowest of the boundary"
        )
    return f"as (E - {scale['mean_j_m2']:.3f}) / {scale['std_j_m2']:.3f}, J/m^2"


def _metal_table(boundaries: list[dict[str, Any]]) -> Table:
    """Boundaries and structures of each metal, the mean loss, and how many were held out."""
    table = new_table()
    table.add_column("metal", no_wrap=True)
    for title in ("boundaries", "structures", "mean loss", "held out", "their loss"):
        table.add_column(title, justify="right")
    metals: dict[str, list[dict[str, Any]]] = {}
    for one in boundaries:
        metals.setdefault(_metal(one), []).append(one)
    for metal, some in sorted(metals.items()):
        learned = [one for one in some if not one["is_held_out"]]
        others = [one for one in some if one["is_held_out"]]
        table.add_row(
            metal,
            f"{len(learned):,}",
            f"{sum(one['num_structures'] for one in learned):,}",
            _mean_loss(learned),
            f"{len(others):,}" if others else "",
            _mean_loss(others),
        )
    return table


def _mean_loss(boundaries: list[dict[str, Any]]) -> str:
    losses = [one["hold_out"] for one in boundaries]
    return f"{sum(losses) / len(losses):.4f}" if losses else ""


def _metal(boundary: dict[str, Any]) -> str:
    """Elements and lattice of a boundary, such as ``Cu fcc``."""
    return f"{'-'.join(boundary['elements'])} {boundary['lattice']}"


def _boundary_table(boundaries: list[dict[str, Any]]) -> Table:
    table = new_table()
    table.add_column("run", overflow="fold")
    table.add_column("of", no_wrap=True)
    table.add_column("boundary", overflow="fold")
    table.add_column("structures", justify="right")
    table.add_column("loss", justify="right")
    table.add_column("")
    for one in boundaries:
        table.add_row(
            Text(one["name"]),
            _metal(one),
            one["boundary"],
            f"{one['num_structures']:,}",
            f"{one['hold_out']:.4f}",
            "held out" if one["is_held_out"] else "",
        )
    return table
