"""Statistics of the transfer experiment: hit rates, and core-seconds to the best known energy."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.accounts.rates import wilson
from gcd_hpc.experiments.statistics import ratio
from gcd_hpc.experiments.work import Arrays

NEAR_J_M2 = 0.02
"""Energy above the best known one up to which a candidate is a hit."""
REACHED_J_M2 = 0.002
"""Energy above the best known one up to which it counts as reached."""
MODEL = "zero-shot"
CHOSEN = "zero-shot at registries of tries"
FRESH = "fresh tries with dynamics"
REGISTRIES = "registries only"
MODELS, RIVALS = (MODEL, CHOSEN), (FRESH, REGISTRIES)
WITHOUT, WITH = "without the model", "with the model"


def lowest_of(tried: Sequence[Arrays]) -> Arrays:
    """n_fraction and gb_energy_j_m2 of the lowest structure of each [n], (K,).

    Args:
        tried: COLUMNS of all tries, or results of this function.
    """
    ok = [rows.get("status", np.full(len(rows["n_fraction"]), "ok")) == "ok" for rows in tried]
    fractions = np.concatenate(
        [rows["n_fraction"][mask] for rows, mask in zip(tried, ok, strict=True)]
    )
    energies = np.concatenate(
        [rows["gb_energy_j_m2"][mask] for rows, mask in zip(tried, ok, strict=True)]
    )
    # Equal fractions are computed in several ways and differ by rounding.
    ordered = np.unique(fractions)
    known = ordered[~np.isclose(ordered, np.append(-1.0, ordered)[: len(ordered)])]
    lowest = np.array([energies[np.isclose(fractions, one)].min() for one in known])
    return {"n_fraction": known, "gb_energy_j_m2": lowest}


def target_of(known: Arrays) -> float:
    """Energy at which an exploration has reached the lowest one known, J/m^2."""
    return float(known["gb_energy_j_m2"].min()) + REACHED_J_M2


def hits(tried: Arrays, known: Arrays, by_n: bool) -> NDArray[np.bool_]:
    """Mask of the structures within NEAR_J_M2 of the best known one.

    Args:
        tried: COLUMNS of all tries. known: [n] and energies of the best known structures.
        by_n: compare with the best known structure of the same [n], instead of with the best of
            all. Structures of an [n] that nobody knew are no hits then.
    """
    best = np.full(len(tried["status"]), known["gb_energy_j_m2"].min())
    if by_n:
        best[:] = -inf
        for fraction, energy in zip(known["n_fraction"], known["gb_energy_j_m2"], strict=True):
            best[np.isclose(tried["n_fraction"], fraction)] = energy
    is_near = tried["gb_energy_j_m2"] <= best + NEAR_J_M2
    return np.asarray((tried["status"] == "ok") & is_near)


def rate_numbers(tried: Mapping[str, Arrays], known: Arrays) -> dict[str, Any]:
    """Hit rates of all methods on one boundary, and how many times the rivals' the model's are.

    The cost of tries that choose registries counts for the candidates, the hits among these tries
    do not.
    """
    numbers: dict[str, Any] = {}
    for key, by_n in (("of_all", False), ("of_the_same_n", True)):
        num_hits = {name: int(hits(rows, known, by_n).sum()) for name, rows in tried.items()}
        rates = {name: wilson(num_hits[name], len(rows["status"])) for name, rows in tried.items()}
        per_core_s = {name: num_hits[name] / spent_s(rows) for name, rows in tried.items()}
        numbers[key] = {
            "rates": {name: astuple(rate) for name, rate in rates.items()},
            "hits_per_core_s": per_core_s,
            "against": {
                name: {
                    rival: {
                        "rate": astuple(ratio(rates[name], rates[rival])),
                        "per_core_s": times(per_core_s[name], per_core_s[rival]),
                    }
                    for rival in RIVALS
                }
                for name in MODELS
            },
        }
    return numbers


def spent_s(rows: Arrays) -> float:
    """Core-seconds of a method: those that it counted itself, else those of its task."""
    return float(rows.get("spent_s", rows["core_s"]))


def method_numbers(tried: Arrays, known: Arrays) -> dict[str, Any]:
    """Tries of one method on one boundary, and how low they came.

    The lowest energy is compared with the best known one; negative values lie below it.
    """
    ok = tried["status"] == "ok"
    above = tried["gb_energy_j_m2"][ok] - known["gb_energy_j_m2"].min()
    return {
        "tries": len(ok),
        "core_s": spent_s(tried),
        "relaxed": int(ok.sum()),
        "lowest_above_known_j_m2": float(above.min()) if ok.any() else None,
        "median_above_known_j_m2": float(np.median(above)) if ok.any() else None,
    }


def time_to(trace: Arrays, energy_j_m2: float) -> float:
    """Core-seconds until an energy was reached; infinite if the trace ends before."""
    reached = np.flatnonzero(trace["lowest_j_m2"] <= energy_j_m2)
    return float(trace["spent_s"][reached[0]]) if len(reached) else inf


def loop_numbers(
    traces: Mapping[str, Sequence[Arrays]], target_j_m2: float, budget_s: float
) -> dict[str, Any]:
    """Core-seconds of each seed to an energy, their medians, and the lowest energy of each seed.

    Seeds that did not reach it are infinite, and medians over them as well if half or more are.

    Args:
        budget_s: core-seconds at which they ended.
    """
    core_s = {name: [time_to(one, target_j_m2) for one in some] for name, some in traces.items()}
    medians = {name: float(np.median(some)) for name, some in core_s.items()}
    return {
        "target_j_m2": target_j_m2,
        "budget_s": budget_s,
        "core_s": core_s,
        "median_core_s": medians,
        "with_over_without": times(medians[WITH], medians[WITHOUT]),
        "lowest_j_m2": {
            name: [float(one["lowest_j_m2"][-1]) for one in some] for name, some in traces.items()
        },
    }


def times(one: float, other: float) -> float:
    """Ratio of two numbers that may be 0 or infinite; NaN if both are."""
    if one == other and (one == 0 or np.isinf(one)):
        return float("nan")
    if other == 0 or np.isinf(one):
        return inf
    return one / other if np.isfinite(other) else 0.0


def medians(boundaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians over the boundaries of what is asked of a model that transfers.

    Boundaries on which neither reached the target have no ratio of times and are left out there; a
    rival without a hit counts as an infinite ratio where the model has one, else the boundary is
    left out.
    """

    def median(key: str, name: str, rival: str) -> dict[str, float | None]:
        found = [row["rates"][key]["against"][name][rival] for row in boundaries]
        return {
            "rate": _median([one["rate"][0] for one in found]),
            "per_core_s": _median([one["per_core_s"] for one in found]),
        }

    return {
        "against": {
            key: {name: {rival: median(key, name, rival) for rival in RIVALS} for name in MODELS}
            for key in ("of_all", "of_the_same_n")
        },
        "with_over_without": _median([row["loops"]["with_over_without"] for row in boundaries]),
    }


def _median(values: Sequence[float]) -> float | None:
    """Median of the values that are numbers; infinite ones keep their place in the order."""
    defined = sorted(value for value in values if not np.isnan(value))
    if not defined:
        return None
    low, high = defined[(len(defined) - 1) // 2], defined[len(defined) // 2]
    return low if low == high else (low + high) / 2
