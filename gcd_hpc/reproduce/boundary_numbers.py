"""Counting on a grain boundary: which relaxed structures are the published phases, how often each method finds them, what it costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.reproduce.boundary_tasks import is_phase
from gcd_hpc.reproduce.statistics import wilson_interval
from gcd_hpc.reproduce.work import Arrays


@dataclass(frozen=True)
class Phase:
    """A published structure of the boundary (D10)."""

    name: str
    n_fraction: float
    gb_energy_j_m2: float


PHASES = (Phase("[1/5]", 0.2, 2.297), Phase("[2/5]", 0.4, 2.469))
TOLERANCE_J_M2 = 0.005
"""A structure of a phase's [n] at most this far above its energy is the phase, relaxed with the tight preset ..."""
LOOSE_TOLERANCE_J_M2 = 0.045
"""... or with the paper's, which stops up to so much too high (finding 3)."""
MODEL, SEARCH = "model", "search with dynamics"


def joined(pieces: Sequence[Arrays]) -> Arrays:
    """Columns of several tasks, one after the other."""
    names = [name for name in pieces[0] if name != "core_s"]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in names}


def phase_hits(arrays: Arrays, phase: Phase, preset: str = "tight") -> NDArray[np.bool_]:
    """Which rows are the phase, by their energies at the tight or the paper's preset."""
    name, tolerance = ("gb_energy_j_m2", TOLERANCE_J_M2) if preset == "tight" else ("screen_gb_energy_j_m2", LOOSE_TOLERANCE_J_M2)
    mask = is_phase(arrays["n_fraction"], arrays[name], phase.n_fraction, phase.gb_energy_j_m2, tolerance)
    return np.asarray(mask) & (arrays["status"] == "ok")


def method_numbers(arrays: Arrays) -> dict[str, Any]:
    """How many structures a method tried, how often it found each phase, and its lowest energy at each [n].

    All tries count, also those that failed or were refused before relaxation. Intervals are Wilson's, 95 %.
    """
    num, ok = len(arrays["status"]), arrays["status"] == "ok"
    phases = {}
    for phase in PHASES:
        hits = int(phase_hits(arrays, phase).sum())
        phases[phase.name] = {
            "hits": hits,
            "rate": hits / num,
            "wilson_95": wilson_interval(hits, num),
            "hits_with_the_papers_preset": int(phase_hits(arrays, phase, "paper").sum()),
        }
    fractions = np.unique(np.round(arrays["n_fraction"][ok], 6))
    lowest = {f"{n:g}": float(arrays["gb_energy_j_m2"][ok & np.isclose(arrays["n_fraction"], n)].min()) for n in fractions}
    return {"tries": num, "relaxed": int(ok.sum()), "phases": phases, "lowest_j_m2": lowest}


def training_numbers(arrays: Arrays) -> dict[str, Any]:
    """Size, fractions and energies of a training set, and what became of the training."""
    fractions, counts = np.unique(np.round(arrays["n_fraction"], 6), return_counts=True)
    return {
        "structures": len(arrays["n_fraction"]),
        "structures_by_n": {f"{n:g}": int(count) for n, count in zip(fractions, counts, strict=True)},
        "lowest_j_m2": float(arrays["gb_energy_j_m2"].min()),
        "validation_loss": float(arrays["validation_loss"]),
        "model_sha256": str(arrays["sha256"]),
    }


def discovery_numbers(arrays: Arrays) -> dict[str, Any]:
    """Fingerprint distances of one model's discoveries from its training set: 0 for copies, about 0.015 for a missing atom."""
    numbers: dict[str, Any] = {"median_distance_within_the_training_set": float(arrays["training_spread"])}
    for number, phase in enumerate(PHASES):
        nearest = arrays["nearest"][arrays["phase"] == number]
        if len(nearest):
            numbers[phase.name] = {
                "found": len(nearest),
                "distance_to_nearest_training_structure": {"smallest": float(nearest.min()), "median": float(np.median(nearest))},
                "lowest_j_m2": float(arrays["gb_energy_j_m2"][arrays["phase"] == number].min()),
            }
        else:
            numbers[phase.name] = {"found": 0}
    return numbers


def core_seconds(arrays: Arrays) -> float:
    """What it took to make and relax structures; refused ones were not relaxed."""
    return float(np.nansum(arrays["sample_s"]) + np.nansum(arrays["relax_s"]))


def cost_numbers(
    data_set: Arrays, more: Arrays, trained: Sequence[Arrays], by_model: Sequence[Sequence[Arrays]], others: dict[str, Arrays]
) -> dict[str, Any]:
    """Core-seconds of every part, hits per 1,000 core-seconds, and what the search finds in the core-seconds of search, training and model.

    Args:
        more: the search that went on after the data set. by_model: relaxed blocks of each model. others: rivals by name.
    """
    model, search = joined([block for blocks in by_model for block in blocks]), joined([data_set, more])
    training = [float(arrays["core_s"]) for arrays in trained]
    costs: dict[str, Any] = {
        "search": core_seconds(data_set),
        "training": sum(training),
        "sampling": float(np.nansum(model["sample_s"])),
        "relaxation": float(np.nansum(model["relax_s"])),
        "rivals": {SEARCH: core_seconds(search)} | {name: core_seconds(arrays) for name, arrays in others.items()},
    }
    spent = core_seconds(data_set) + costs["training"] / len(training) + core_seconds(model) / len(by_model)
    paid = np.cumsum(np.nan_to_num(search["sample_s"]) + np.nan_to_num(search["relax_s"])) <= spent
    within = {name: values[paid] for name, values in search.items()}
    equal: dict[str, Any] = {"core_s_with_one_model": spent, "tries_of_the_search": int(paid.sum()), "search_spent_it_all": not paid.all()}
    costs["at_equal_core_s"] = equal
    all_of_it = spent * len(by_model)
    for phase in PHASES:
        equal[phase.name] = {
            "hits_of_one_model": int(phase_hits(model, phase).sum()) / len(by_model),
            "hits_of_the_search": int(phase_hits(within, phase).sum()),
        }
        per_cost = {"model, search and training counted": int(phase_hits(model, phase).sum()) / all_of_it}
        per_cost |= {"model, once trained": int(phase_hits(model, phase).sum()) / core_seconds(model)}
        per_cost |= {name: int(phase_hits(rows, phase).sum()) / core_seconds(rows) for name, rows in {SEARCH: search, **others}.items()}
        costs[f"hits_per_1000_core_s {phase.name}"] = {name: 1000 * rate for name, rate in per_cost.items()}
    return costs
