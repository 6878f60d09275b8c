"""The card of an energy model, as data and as a table."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from gcd_hpc.campaign.progress import clock
from gcd_hpc.campaign.table import new_table
from gcd_hpc.stages.record import stored_record


def is_energy_model(path: Path) -> bool:
    """Whether a model file is that of an energy model.

    Raises:
        CheckpointError: if it is missing or damaged.
    """
    # Late imports: all else in this package is read without torch.
    from gcd_hpc.learning.energy_network import KIND
    from gcd_hpc.networks.checkpoint import load

    return bool(load(path)[1].get("kind") == KIND)


def energy_record(path: Path) -> dict[str, Any]:
    """All facts of an energy model.

    Raises:
        CheckpointError: if it is missing, damaged or no energy model.
    """
    from gcd_hpc.learning.energy_network import KIND, LEVELS, EnergyModel, both_parts  # as above

    model, record = EnergyModel.load(path), stored_record(path)
    weights = both_parts(model.network, model.atoms.network).state_dict()
    fields = asdict(model.card) | {"config": model.card.config.model_dump(mode="json")}
    return {
        "file": str(path),
        "kind": KIND,
        "bytes": path.stat().st_size,
        "num_weights": sum(one.numel() for one in weights.values()),
        **fields,
        "levels_log_snr": list(LEVELS),
        "cpu_s": None if record is None else record.cpu_s,
        "seconds": None if record is None else record.seconds,
    }


def energy_view(record: dict[str, Any]) -> Table:
    """The record for people."""
    network, atoms = record["config"]["network"], record["config"]["atoms"]
    correlation = record["rank_correlation"]
    told = "unknown" if correlation is None else f"{correlation:.2f} within one [n], held out"
    spread = ", ".join(f"{one:.2f}" for one in record["spread"])
    levels = ", ".join(f"{one:g}" for one in record["levels_log_snr"])
    facts = [
        ("file", record["file"]),
        ("kind", "energy model: relaxed boundary energies, told before relaxation"),
        ("size", f"{record['num_weights']:,} weights, {record['bytes'] / 1e6:.1f} MB"),
        ("ranks by atoms", f"width {atoms['width']}, {atoms['num_steps']:,} steps"),
        (
            "guides by voxels",
            ", ".join(f"{key} {one}" for key, one in network.items() if one is not None)
            + f", {record['config']['num_steps']:,} steps",
        ),
        ("elements", ", ".join(record["elements"])),
        ("learned from", f"{record['num_rows']:,} candidates of {', '.join(record['runs'])}"),
        ("seed", str(record["seed"])),
        ("rank correlation", told),
        ("spread", f"times {spread} at lambda {levels}"),
    ]
    if record["cpu_s"] is not None:
        cost = f"{record['cpu_s']:,.0f} core-seconds, {clock(record['seconds'])} of wall time"
        facts.append(("cost", cost))
    facts.append(("SHA-256", record["sha256"]))
    table = new_table(show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in facts:
        table.add_row(name, Text(text))
    return table
