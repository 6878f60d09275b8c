"""Statistics of a grain boundary: hits of the published phases for each method, and their costs."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.accounts.rates import wilson
from gcd_hpc.experiments.boundary_tasks import is_phase
from gcd_hpc.experiments.statistics import blocked_rate, ratio
from gcd_hpc.experiments.work import Arrays, core_s
from gcd_hpc.structures.energetics import lowest_energies


@dataclass(frozen=True)
class Phase:
    """A published structure of the boundary."""

    name: str
    n_fraction: float
    gb_energy_j_m2: float


PHASES = (Phase("[1/5]", 0.2, 2.297), Phase("[2/5]", 0.4, 2.469))
TOLERANCE_J_M2 = 0.005
"""Energy above the published one up to which a structure is the phase (tight preset)."""
LOOSE_TOLERANCE_J_M2 = 0.045
"""The same tolerance for the paper's preset, whose energies are up to this much too high."""
MODEL, SEARCH = "model", "search with dynamics"


def joined(pieces: Sequence[Arrays]) -> Arrays:
    """Concatenated columns of several tasks, and the sum of their core-seconds."""
    columns = {
        name: np.concatenate([piece[name] for piece in pieces])
        for name in pieces[0]
        if name != "core_s"
    }
    return {**columns, "core_s": np.sum([piece["core_s"] for piece in pieces])}


def phase_hits(arrays: Arrays, phase: Phase, preset: str = "tight") -> NDArray[np.bool_]:
    """Mask of the rows that are the phase, by [n] and energy."""
    name, tolerance = (
        ("gb_energy_j_m2", TOLERANCE_J_M2)
        if preset == "tight"
        else ("screen_gb_energy_j_m2", LOOSE_TOLERANCE_J_M2)
    )
    mask = is_phase(
        arrays["n_fraction"], arrays[name], phase.n_fraction, phase.gb_energy_j_m2, tolerance
    )
    return np.asarray(mask & (arrays["status"] == "ok"))


def method_numbers(arrays: Arrays) -> dict[str, Any]:
    """Tries, hits of each phase, and lowest energy of each [n], for one method.

    All tries count, including failed and refused ones. Intervals are Wilson's, 95 %.
    """
    num, ok = len(arrays["status"]), arrays["status"] == "ok"
    phases = {}
    for phase in PHASES:
        rate = wilson(int(phase_hits(arrays, phase).sum()), num)
        phases[phase.name] = {
            "hits": int(phase_hits(arrays, phase).sum()),
            "rate": rate.value,
            "wilson_95": [rate.low, rate.high],
            "hits_with_the_papers_preset": int(phase_hits(arrays, phase, "paper").sum()),
        }
    energies = lowest_energies(arrays["n_fraction"][ok], arrays["gb_energy_j_m2"][ok])
    lowest = {f"{n:g}": energy for n, energy in energies.items()}
    return {"tries": num, "relaxed": int(ok.sum()), "phases": phases, "lowest_j_m2": lowest}


def rate_numbers(
    phase: Phase, by_model: Sequence[Sequence[Arrays]], tried: dict[str, Arrays]
) -> dict[str, Any]:
    """Hit rate of the models, with an interval over seeds, and its ratio to every rival's.

    Args:
        by_model: relaxed blocks of each model.
        tried: all tries of each method, the model included.
    """
    hits = [[int(phase_hits(block, phase).sum()) for block in blocks] for blocks in by_model]
    sizes = [[len(block["status"]) for block in blocks] for blocks in by_model]
    rate = blocked_rate(np.ravel(hits), np.ravel(sizes))
    others = {
        method: wilson(int(phase_hits(rows, phase).sum()), len(rows["status"]))
        for method, rows in tried.items()
        if method != MODEL
    }
    return {
        "hits_by_model_and_block": hits,
        "rate": rate.value,
        "blocked_95": [rate.low, rate.high],
        "times_the_rate_of": {
            method: astuple(ratio(rate, other)) for method, other in others.items()
        },
    }


def training_numbers(arrays: Arrays) -> dict[str, Any]:
    """Size, fractions and energies of a training set, and the outcome of the training."""
    fractions, counts = np.unique(arrays["n_fraction"], return_counts=True)
    return {
        "structures": len(arrays["n_fraction"]),
        "structures_by_n": {
            f"{n:g}": int(count) for n, count in zip(fractions, counts, strict=True)
        },
        "lowest_j_m2": float(arrays["gb_energy_j_m2"].min()),
        "validation_loss": float(arrays["validation_loss"]),
        "model_sha256": str(arrays["sha256"]),
    }


def discovery_numbers(arrays: Arrays) -> dict[str, Any]:
    """Fingerprint distances of one model's discoveries from its training set.

    A copy has distance 0, a structure with a missing atom about 0.015.
    """
    numbers: dict[str, Any] = {
        "median_distance_within_the_training_set": float(arrays["training_spread"])
    }
    for number, phase in enumerate(PHASES):
        nearest = arrays["nearest"][arrays["phase"] == number]
        if len(nearest):
            numbers[phase.name] = {
                "found": len(nearest),
                "distance_to_nearest_training_structure": {
                    "smallest": float(nearest.min()),
                    "median": float(np.median(nearest)),
                },
                "lowest_j_m2": float(arrays["gb_energy_j_m2"][arrays["phase"] == number].min()),
            }
        else:
            numbers[phase.name] = {"found": 0}
    return numbers


def cost_numbers(
    search: Arrays,
    num_tries: int,
    trained: Sequence[Arrays],
    sampled: Arrays,
    relaxed: Arrays,
    others: dict[str, Arrays],
) -> dict[str, Any]:
    """Core-seconds, hits per 1,000 core-seconds, and hits of the search at equal cost.

    Args:
        search: data set and continued search.
        num_tries: tries of the data set.
        sampled, relaxed: candidates of all models.
        others: rivals by name.
    """
    a_try = float(search["core_s"]) / len(search["status"])
    data_set, num_models = a_try * num_tries, len(trained)
    training = core_s(trained)
    candidates = float(sampled["core_s"] + relaxed["core_s"])
    spent = data_set + (training + candidates) / num_models
    within = {
        name: values[: int(spent / a_try)] for name, values in search.items() if name != "core_s"
    }
    costs: dict[str, Any] = {
        "search": data_set,
        "training": training,
        "sampling": float(sampled["core_s"]),
        "relaxation": float(relaxed["core_s"]),
        "rivals": {SEARCH: float(search["core_s"])}
        | {name: float(arrays["core_s"]) for name, arrays in others.items()},
        "search_training_and_one_model": spent,
        "tries_of_the_search_in_that_time": spent / a_try,
    }
    for phase in PHASES:
        hits = int(phase_hits(relaxed, phase).sum())
        per_second = {
            "model, search and training counted": hits / num_models / spent,
            "model, once trained": hits / candidates,
        }
        for name, rows in {SEARCH: search, **others}.items():
            per_second[name] = int(phase_hits(rows, phase).sum()) / float(rows["core_s"])
        costs[phase.name] = {
            "hits_of_one_model": hits / num_models,
            "hits_of_the_search_in_that_time": int(phase_hits(within, phase).sum()),
            "hits_per_1000_core_s": {name: 1000 * rate for name, rate in per_second.items()},
        }
    return costs
