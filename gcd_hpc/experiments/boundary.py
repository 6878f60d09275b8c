"""Grain boundary experiments: Fig. 6, with low energies withheld from training, and Fig. S.3."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.config.shipped import shipped
from gcd_hpc.experiments.boundary_figures import boundary_figure
from gcd_hpc.experiments.boundary_numbers import (
    MODEL,
    PHASES,
    SEARCH,
    TOLERANCE_J_M2,
    cost_numbers,
    discovery_numbers,
    joined,
    method_numbers,
    rate_numbers,
    training_numbers,
)
from gcd_hpc.experiments.boundary_tasks import (
    Variation,
    novelty,
    num_distinct,
    relax_varied,
    search_at_known_registries,
    search_chunks,
    search_more,
    train_model,
    use_blocks,
)
from gcd_hpc.experiments.outcome import Outcome
from gcd_hpc.experiments.runs import open_run
from gcd_hpc.experiments.work import Arrays, Task, Workshop
from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.store.run_directory import num_chunks


@dataclass(frozen=True)
class BoundaryBudget:
    """Amounts of search, training and sampling."""

    campaign: str
    """Name of a campaign file of the package."""
    overrides: tuple[str, ...]
    num_models: int
    num_blocks: int
    """Number of blocks of candidates of each model, each with its own random streams."""
    block_size: int
    num_rival: int
    """Relaxations of each rival, as many as candidates of all models."""
    num_more_tries: int
    """Additional tries of the search with dynamics.

    Their cost is at least that of search, training and model together.
    """


QUICK = BoundaryBudget("w_sigma5_withheld.yaml", (), 2, 5, 100, 1000, 1000)
FULL = BoundaryBudget(
    "w_sigma5_paper.yaml",
    ("relaxation.preset=tight", "relaxation.screen=true"),
    2,
    5,
    500,
    5000,
    5000,
)
BUDGETS = {"quick": QUICK, "full": FULL}
EVERYTHING = {"min_energy_j_m2": None, "max_energy_j_m2": None}
"""Overrides of the selection for Fig. S.3."""
NUM_SHARES = 4
"""Number of parts that a long search is divided into, so that it uses all cores."""
WITHOUT_DYNAMICS_FROM = 1_000_000
"""First index of the search without dynamics, whose random streams differ from the data set's."""
NO_DYNAMICS = "search without dynamics"
AT_REGISTRIES = "search at registries of the training set"
VARIATIONS: dict[Variation, str] = {
    "again": "training set, relaxed again",
    "rattled": "training set, rattled",
    "mutated": "training set, atoms put in or taken out",
}


def fig6(workshop: Workshop) -> Outcome:
    """Train on 2.6 to 2.8 J/m^2 only, so that both phases are withheld (Fig. 6)."""
    return study(workshop, BUDGETS[workshop.budget], withheld=True)


def figS3(workshop: Workshop) -> Outcome:
    """Train on all structures of the search (Fig. S.3).

    Variations of a training set that holds the phases would prove nothing, so they are left out.
    """
    return study(workshop, BUDGETS[workshop.budget], withheld=False)


def study(workshop: Workshop, budget: BoundaryBudget, withheld: bool) -> Outcome:
    """Run search, training, sampling, relaxation and rivals; return the numbers and the figure."""
    base = base_config(workshop.seed, budget)
    searched, data_set = search_data_set(workshop, base)
    (distinct,) = workshop.run([Task("distinct", num_distinct, (searched, count_chunks(base)))])

    phases = tuple((phase.n_fraction, phase.gb_energy_j_m2) for phase in PHASES)
    name = "withheld" if withheld else "everything"
    runs = [
        open_run(
            workshop.work,
            f"{name}-{number}",
            model_config(base, workshop.seed + number, withheld),
        )
        for number in range(budget.num_models)
    ]
    trained, sampled, relaxed = use_models(workshop, budget, searched, runs)
    novelties = [
        Task(f"novelty-{run.name}", novelty, (run, budget.num_blocks, phases, TOLERANCE_J_M2))
        for run in runs
    ]
    found = workshop.run(novelties)

    more, others = search_rivals(workshop, budget, base, searched)
    if withheld:
        others |= training_set_rivals(workshop, budget, runs[0], len(trained[0]["n_fraction"]))
    tried = {MODEL: joined(relaxed), SEARCH: joined([data_set, more]), **others}
    by_model = [
        relaxed[start : start + budget.num_blocks]
        for start in range(0, len(relaxed), budget.num_blocks)
    ]
    numbers: dict[str, Any] = {
        "withheld_j_m2": [base.selection.min_energy_j_m2, base.selection.max_energy_j_m2]
        if withheld
        else None,
        "data_set": {
            "tries": len(data_set["status"]),
            "distinct": int(distinct["num_distinct"].sum()),
        },
        "training_sets": [training_numbers(arrays) for arrays in trained],
        "methods": {method: method_numbers(arrays) for method, arrays in tried.items()},
        "models_rate": {phase.name: rate_numbers(phase, by_model, tried) for phase in PHASES},
        "discoveries": [discovery_numbers(arrays) for arrays in found],
    }
    num_tries = len(data_set["status"])
    costs = cost_numbers(tried[SEARCH], num_tries, trained, sampled, tried[MODEL], others)
    cohesive_ev = load_boundary_system(str(searched)).bulk.cohesive_ev
    figure = boundary_figure(numbers, tried[MODEL], data_set, found, cohesive_ev)
    return Outcome(numbers, costs, figure)


def use_models(
    workshop: Workshop, budget: BoundaryBudget, searched: Path, runs: list[Path]
) -> tuple[list[Arrays], Arrays, list[Arrays]]:
    """Train all models, and sample and relax their blocks."""
    trainings = [
        Task(f"train-{run.name}", train_model, (run, searched, workshop.device)) for run in runs
    ]
    trained = workshop.run(trainings, on_device=True)
    blocks = [(run, block) for run in runs for block in range(budget.num_blocks)]
    sampled, relaxed = use_blocks(workshop, blocks)
    return trained, joined(sampled), relaxed


def search_data_set(workshop: Workshop, base: CampaignConfig) -> tuple[Path, Arrays]:
    """Run directory and columns of the search that all experiments on this boundary share."""
    searched = open_run(workshop.work, "dataset", base)
    tasks = [
        Task(f"search-{first}", search_chunks, (searched, first, last))
        for first, last in shares(0, count_chunks(base))
    ]
    return searched, joined(workshop.run(tasks))


def count_chunks(base: CampaignConfig) -> int:
    """Number of chunks of the search."""
    return num_chunks(base.search.num_tries, base.search.chunk_size)


def base_config(seed: int, budget: BoundaryBudget) -> CampaignConfig:
    """Campaign config of the data set."""
    blocks = [
        f"sampling.num_candidates={budget.num_blocks * budget.block_size}",
        f"sampling.chunk_size={budget.block_size}",
    ]
    return load_campaign(
        shipped(f"campaigns/{budget.campaign}"), [*budget.overrides, *blocks, f"seed={seed}"]
    )


def model_config(base: CampaignConfig, seed: int, withheld: bool) -> CampaignConfig:
    """Campaign config of a model, with its own seed and training set."""
    selection = base.selection if withheld else base.selection.model_copy(update=EVERYTHING)
    return base.model_copy(update={"seed": seed, "selection": selection})


def search_rivals(
    workshop: Workshop, budget: BoundaryBudget, base: CampaignConfig, searched: Path
) -> tuple[Arrays, dict[str, Arrays]]:
    """Searches with and without dynamics as rivals, by name, as large as all models' candidates."""
    start, tries = WITHOUT_DYNAMICS_FROM, base.search.num_tries
    going_on = shares(tries, tries + budget.num_more_tries)
    more = [
        Task(f"more-{i}", search_more, (searched, i, j, base.search.md.probability))
        for i, j in going_on
    ]
    without = [
        Task(f"no-dynamics-{i}", search_more, (searched, i, j, 0.0))
        for i, j in shares(start, start + budget.num_rival)
    ]
    results = workshop.run(more + without)
    return joined(results[: len(more)]), {NO_DYNAMICS: joined(results[len(more) :])}


def training_set_rivals(
    workshop: Workshop, budget: BoundaryBudget, run: Path, num_learnt: int
) -> dict[str, Arrays]:
    """Rivals that vary the structures of a training set, by name, with as many relaxations.

    Args:
        run: run directory of a model. num_learnt: structures in its training set.
    """
    tasks = {
        AT_REGISTRIES: [
            Task(f"registries-{run.name}-{i}", search_at_known_registries, (run, i, j))
            for i, j in shares(0, budget.num_rival)
        ]
    }
    for variation, method in VARIATIONS.items():
        number = num_learnt if variation == "again" else budget.num_rival
        tasks[method] = [
            Task(f"{variation}-{run.name}-{i}", relax_varied, (run, variation, i, j))
            for i, j in shares(0, number)
        ]
    results = iter(workshop.run([task for group in tasks.values() for task in group]))
    return {method: joined([next(results) for _ in group]) for method, group in tasks.items()}


def shares(start: int, stop: int) -> list[tuple[int, int]]:
    """Divide a range into NUM_SHARES parts (first, last) of similar size, without empty parts."""
    ends = np.linspace(start, stop, NUM_SHARES + 1).round().astype(int).tolist()
    return [(first, last) for first, last in pairwise(ends) if first < last]
