"""Asking for [n]: candidates with and without guidance by the number of atoms."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gcd_hpc.accounts.rates import wilson
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.guidance import CountGuidance
from gcd_hpc.experiments.boundary import (
    QUICK,
    BoundaryBudget,
    base_config,
    model_config,
    search_data_set,
)
from gcd_hpc.experiments.boundary_numbers import joined
from gcd_hpc.experiments.colours import BLUE, GREY, RED
from gcd_hpc.experiments.guided_tasks import asked_block, candidates, guided_run, trained_model
from gcd_hpc.experiments.outcome import Outcome
from gcd_hpc.experiments.work import Arrays, Task, Workshop
from gcd_hpc.structures.energetics import lowest_energies

NUM_BLOCKS = 4
"""Blocks of candidates of each kind of sampling."""
KINDS = {
    "without guidance": ((), 1.0),
    "guided": ((CountGuidance(property="n_fraction"),), 1.0),
    "without guidance, registries anywhere": ((), 0.0),
    "guided, registries anywhere": ((CountGuidance(property="n_fraction"),), 0.0),
}
"""Guidance, and share of registries of known structures of the [n] asked for."""


def ask_n(workshop: Workshop) -> Outcome:
    """Ask a model of all structures of the search for all [n] in turn, with and without guidance.

    It is the model of figS3, of the quick budget's size also in the full one.
    """
    return study(workshop, QUICK, NUM_BLOCKS)


def study(workshop: Workshop, budget: BoundaryBudget, num_blocks: int) -> Outcome:
    """Search, train, sample and relax; return the numbers and the figure."""
    base = base_config(workshop.seed, budget)
    searched, data_set = search_data_set(workshop, base)
    config = model_config(base, workshop.seed, withheld=False)
    trained_run, trained = trained_model(workshop, searched, config, "everything-0")
    runs = [
        guided_run(
            workshop.work, f"ask-{number}", bootstrapped(config, share), trained_run, guidance
        )
        for number, (guidance, share) in enumerate(KINDS.values())
    ]
    costs, _ = candidates(workshop, dict.fromkeys(runs, num_blocks))
    blocks = [(run, block) for run in runs for block in range(num_blocks)]
    asked = workshop.run(
        [Task(f"asked-{run.name}-{block}", asked_block, (run, block)) for run, block in blocks]
    )
    ok = data_set["status"] == "ok"
    hull = lowest_energies(data_set["n_fraction"][ok], data_set["gb_energy_j_m2"][ok])
    rows = {
        kind: joined(asked[number * num_blocks : (number + 1) * num_blocks])
        for number, kind in enumerate(KINDS)
    }
    numbers = {
        "hull_j_m2": {f"{n:g}": energy for n, energy in hull.items()},
        "kinds": {kind: kind_numbers(arrays, hull) for kind, arrays in rows.items()},
    }
    costs = {"training": float(trained["core_s"]), **costs}
    return Outcome(numbers, costs, figure_of(numbers, rows, hull))


def bootstrapped(config: CampaignConfig, share: float) -> CampaignConfig:
    """The campaign with this share of registries of known structures."""
    sampling = config.sampling.model_copy(update={"bootstrap_share": share})
    return config.model_copy(update={"sampling": sampling})


def kind_numbers(arrays: Arrays, hull: dict[float, float]) -> dict[str, Any]:
    """How many candidates are as asked, how many were refused, and how high the energies are."""
    num, ok = len(arrays["status"]), arrays["status"] == "ok"
    hits = as_asked(arrays)
    rate = wilson(int(hits.sum()), num)
    # Without a relaxed candidate there is no energy.
    above = above_hull(arrays, hull)[ok] if ok.any() else np.array([np.nan])
    return {
        "candidates": num,
        "as_asked": int(hits.sum()),
        "share": rate.value,
        "wilson_95": [rate.low, rate.high],
        "as_asked_by_n": {
            f"{n:g}": int(hits[np.isclose(arrays["target_n_fraction"], n)].sum())
            for n in np.unique(arrays["target_n_fraction"])
        },
        "refused_or_failed": int((~ok).sum()),
        "above_hull_j_m2": np.percentile(above, [25, 50, 75]).tolist(),
        "above_hull_median_95_j_m2": median_interval(above),
    }


def as_asked(arrays: Arrays) -> np.ndarray:
    """Mask of the candidates that have the [n] that was asked for."""
    return np.isclose(arrays["n_fraction"], arrays["target_n_fraction"])


def above_hull(arrays: Arrays, hull: dict[float, float]) -> np.ndarray:
    """Energy above the lowest one that the search knows of the same [n], J/m^2; NaN if unknown."""
    energies = np.full(len(arrays["status"]), np.nan)
    for n, lowest in hull.items():
        same = np.isclose(arrays["n_fraction"], n)
        energies[same] = arrays["gb_energy_j_m2"][same] - lowest
    return energies


def median_interval(values: np.ndarray) -> list[float]:
    """95 % interval of a median, by the ranks of a binomial distribution."""
    half = 0.98 * np.sqrt(len(values))
    ranks = np.clip([len(values) / 2 - half, len(values) / 2 + half], 0, len(values) - 1)
    low, high = np.sort(values)[np.round(ranks).astype(int)]
    return [float(low), float(high)]


def figure_of(numbers: dict[str, Any], rows: dict[str, Arrays], hull: dict[float, float]) -> Figure:
    """Shares as asked on the left; energies above the hull on the right."""
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_shares(left, numbers["kinds"])
    for kind, colour, style in zip(rows, (BLUE, RED, BLUE, RED), ("-", "-", ":", ":"), strict=True):
        arrays = rows[kind]
        above = np.sort(above_hull(arrays, hull)[arrays["status"] == "ok"])
        right.plot(above, np.linspace(0, 1, len(above)), style, color=colour, label=kind)
    right.set(
        xlabel="energy above the lowest of the same [n] (J/m$^2$)",
        ylabel="share of candidates",
        xlim=(-0.1, 1.5),
    )
    right.legend(fontsize=7, loc="lower right")
    return figure


def draw_shares(axes: Axes, kinds: dict[str, Any]) -> None:
    """Bars of the shares with the fraction asked for, with intervals."""
    for number, (kind, one) in enumerate(kinds.items()):
        low, high = one["wilson_95"]
        share = one["share"]
        axes.barh(
            number,
            share,
            xerr=[[share - low], [high - share]],
            color=RED if kind.startswith("guided") else BLUE,
            capsize=3,
        )
    axes.axvline(0.1, color=GREY, ls="--", lw=1)
    axes.annotate("chance", (0.1, -0.45), (3, 0), textcoords="offset points", fontsize=7)
    axes.set_yticks(range(len(kinds)), [kind.replace(", ", ",\n") for kind in kinds], fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="share with the [n] asked for", xlim=(0, 1))
