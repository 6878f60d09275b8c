"""Ranking: how well an energy model orders structures before they are relaxed, and what it saves.

The boundary is tungsten's Sigma5 twist. The model learns from the search and the exploration of one
campaign, and is measured on [n] that it has not seen, on a campaign of another seed, and in cells
twice and three times as long; in the last also a model that has learned from two cells. Rivals are
quantities that cost nothing, the energy before relaxation, and the 20 force evaluations by which
candidates of a model are queued.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.learning import AtomicConfig, EnergyModelConfig
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.config.shipped import shipped
from gcd_hpc.experiments.outcome import Outcome
from gcd_hpc.experiments.ranking_figures import ranking_figure
from gcd_hpc.experiments.ranking_tasks import measured_rows, train_on
from gcd_hpc.experiments.runs import copied, open_run
from gcd_hpc.experiments.transfer_numbers import REACHED_J_M2, time_to
from gcd_hpc.experiments.transfer_tasks import loop
from gcd_hpc.experiments.work import Arrays, Task, Workshop, core_s
from gcd_hpc.learning.energy_training import within_n
from gcd_hpc.seeds import REPRODUCE, generator
from gcd_hpc.store.makers import FRESH
from gcd_hpc.store.run_directory import RunDirectory

METHODS = ("network", "cg20", "cg1", "excess_volume", "closest_pair")
"""What orders structures: the energy model, the energy after 20 force evaluations and before
relaxation, and two quantities of the structure.
"""
HOLD_OUTS = {
    "n": ("learned", "some"),
    "seed": ("seed", "all"),
    "cell": ("cell", "all"),
    "long": ("long", "all"),
    "long_two": ("long", "two"),
}
"""What a model has not learned from, with the names of the campaign and of the model: every fourth
[n], another campaign, a cell twice and one three times as long; the last once more by a model that
has learned from the two smaller cells.
"""
HIT_J_M2 = 0.02
"""A hit lies at most this far above the lowest energy that is known of its [n]."""
NUM_DRAWS = 4000
"""Groups of structures that are drawn to measure how often the best of a group is a hit."""
DRAWS = 6
"""Key of the random stream that draws them."""


@dataclass(frozen=True)
class RankingBudget:
    """Amounts of search, exploration and training."""

    num_tries: int
    """Tries of the search of each campaign."""
    generations: int
    """Generations of exploration from which a model learns."""
    num_rows: int
    """Rows on which each hold-out is measured."""
    num_loops: int
    """Explorations of the cell twice as long with and without the model."""
    loop_s: float
    """Most core-seconds of each."""
    num_steps: int
    """Training steps of an energy model."""
    tries: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of structures made for each that is relaxed."""
    overrides: tuple[str, ...] = ()
    """Changes of the campaign, as of ``--set``."""


QUICK = RankingBudget(120, 12, 500, 4, 200.0, 3000)
FULL = RankingBudget(400, 60, 1000, 10, 400.0, 12000)
BUDGETS = {"quick": QUICK, "full": FULL}


def ranking(workshop: Workshop) -> Outcome:
    """Rank correlations by hold-out, and core-seconds to a hit and to the lowest known energy."""
    return study(workshop, BUDGETS[workshop.budget])


def study(workshop: Workshop, budget: RankingBudget) -> Outcome:
    """Make the data, train, measure, and explore with and without the model."""
    seed = workshop.seed
    runs = {name: opened(workshop, budget, name) for name in ("learned", "seed", "cell", "long")}
    data = workshop.run(
        [Task(f"ranking-{name}", loop, (run, inf, -inf)) for name, run in runs.items()]
    )
    one, two = [runs["learned"]], [runs["learned"], runs["cell"]]
    lessons = {"some": (one, True), "all": (one, False), "two": (two, False)}
    files, trained = models(workshop, budget.num_steps, lessons)
    rows = workshop.run(
        [
            Task(
                f"ranking-rows-{name}",
                measured_rows,
                (runs[run], files[model], name == "n", budget.num_rows, seed),
            )
            for name, (run, model) in HOLD_OUTS.items()
        ]
    )
    # Two tiles of a structure of the smaller cell are one of the cell twice as long.
    lowest = {name: float(one["lowest_j_m2"][-1]) for name, one in zip(runs, data, strict=True)}
    target = min(lowest[name] for name in ("learned", "seed", "cell")) + REACHED_J_M2
    loops = workshop.run(loop_tasks(workshop, budget, files["all"], target))
    numbers: dict[str, Any] = {
        "num_rows_learned": {
            name: int(one["num_rows"]) for name, one in zip(lessons, trained, strict=True)
        },
        **row_numbers(dict(zip(HOLD_OUTS, rows, strict=True)), budget.tries, seed),
        "loops": loop_times(loops, target),
    }
    costs = {
        "search and exploration": core_s(data),
        "training": core_s(trained),
        "measurement": core_s(rows),
        "loops": core_s(loops),
    }
    return Outcome(numbers, costs, ranking_figure(numbers))


def models(
    workshop: Workshop, num_steps: int, lessons: Mapping[str, tuple[list[Path], bool]]
) -> tuple[dict[str, Path], list[Arrays]]:
    """Files of trained energy models, and what their tasks say.

    Args:
        lessons: by name, the runs that a model learns from, and whether without every fourth [n].
    """
    # Nothing here is guided, so that the network of the voxels need not learn.
    config = EnergyModelConfig(num_steps=1, atoms=AtomicConfig(num_steps=num_steps))
    files, tasks = {}, []
    for name, (runs, holds_out_n) in lessons.items():
        files[name] = workshop.work / f"{runs[0].name}-{name}-{workshop.seed}.safetensors"
        arguments = (runs, files[name], config, holds_out_n, workshop.seed)
        tasks.append(Task(f"ranking-train-{name}", train_on, arguments))
    return files, workshop.run(tasks)


def row_numbers(
    tables: Mapping[str, Arrays], tries: tuple[int, ...], seed: int
) -> dict[str, dict[str, Any]]:
    """Numbers of the rows of each hold-out.

    Those of [n] are rows of the campaign that was learned, of which others say what a hit saves.
    """
    return {
        "num_measured": {name: len(one["energy"]) for name, one in tables.items()},
        "rank_correlation": {name: correlations(one) for name, one in tables.items()},
        "by_kind": {name: by_kind(one) for name, one in tables.items()},
        "core_s_a_structure": {name: seconds(one) for name, one in tables.items()},
        "core_s_a_hit": {
            name: savings(tries_of(one), tries, generator(seed, REPRODUCE, DRAWS))
            for name, one in tables.items()
            if name != "n"
        },
    }


def tries_of(rows: Arrays) -> Arrays:
    """Rows of the search and of fresh tries, which are what a campaign ranks at first."""
    is_try = np.isin(rows["kind"], ("search", FRESH))
    return {name: values[is_try] for name, values in rows.items() if values.ndim}


def opened(workshop: Workshop, budget: RankingBudget, name: str) -> Path:
    """Prepared run directory of the campaign of one set of rows.

    Those that are only measured are explored for a quarter of the generations.
    """
    few = f"explore.generations={max(1, budget.generations // 4)}"
    changes = {
        "learned": [f"explore.generations={budget.generations}"],
        "seed": [few],
        "cell": ["boundary.replicas=[2, 1]", f"explore.generations={budget.generations}"],
        "long": ["boundary.replicas=[3, 1]", few],
    }[name]
    seed = workshop.seed + 1000 * (name != "learned")
    config = campaign(budget, seed, changes)
    return open_run(workshop.work, f"ranking-{name}", config)


def campaign(budget: RankingBudget, seed: int, changes: list[str]) -> CampaignConfig:
    """Tungsten's Sigma5 boundary without rounds, with voxels that fit any cell."""
    return load_campaign(
        shipped("campaigns/w_sigma5.yaml"),
        [
            f"seed={seed}",
            "budget.rounds=0",
            "voxels={}",
            f"search.num_tries={budget.num_tries}",
            "search.chunk_size=10",
            *budget.overrides,
            *changes,
        ],
    )


def loop_tasks(
    workshop: Workshop, budget: RankingBudget, model: Path, target_j_m2: float
) -> list[Task]:
    """Explorations of the larger cell to an energy: those without the model, then those with it."""
    tasks = []
    for label in ("without", "with"):
        for seed in range(workshop.seed, workshop.seed + budget.num_loops):
            changes = [
                "boundary.replicas=[2, 1]",
                "search.num_tries=20",
                "explore.generations=40",
                "explore.chains=8",
            ]
            if label == "with":
                changes += [f"energy_model={model.name}", "ranking.tries=4"]
            run = open_run(
                workshop.work, f"ranking-loop-{label}-{seed}", campaign(budget, seed, changes)
            )
            if label == "with":
                copied(model, RunDirectory(run).energy_model)
            tasks.append(
                Task(f"ranking-loop-{label}-{seed}", loop, (run, budget.loop_s, target_j_m2))
            )
    return tasks


def correlations(rows: Arrays) -> dict[str, float]:
    """Spearman's correlation with the relaxed energy within one [n], by method."""
    return {name: within_n(rows[name], rows["energy"], rows["n_index"]) for name in METHODS}


def by_kind(rows: Arrays) -> dict[str, dict[str, float]]:
    """The model's correlation for each kind of try and move, with the number of rows."""
    found = {}
    for kind in np.unique(rows["kind"]):
        mine = rows["kind"] == kind
        found[str(kind)] = {
            "num": int(mine.sum()),
            "network": within_n(rows["network"][mine], rows["energy"][mine], rows["n_index"][mine]),
        }
    return found


def seconds(rows: Arrays) -> dict[str, float]:
    """Mean core-seconds to make, relax and estimate one structure."""
    names = ("made_s", "relax_s", "network_s", "cg1_s", "cg20_s")
    return {name: float(np.nanmean(rows[name])) for name in names}


def savings(
    rows: Arrays, tries: tuple[int, ...], rng: np.random.Generator
) -> dict[str, dict[str, dict[str, float]]]:
    """Share of hits and core-seconds to a hit if the best of several structures is relaxed.

    Structures of one [n] are drawn from the rows, as often as the [n] occurs; costs are those of
    the rows: all are made and estimated, one is relaxed.
    """
    energy, n_index = rows["energy"], rows["n_index"]
    spent = seconds(rows)
    is_hit = np.zeros(len(energy), dtype=bool)
    for n in np.unique(n_index):
        mine = n_index == n
        is_hit[mine] = energy[mine] <= energy[mine].min() + HIT_J_M2
    found: dict[str, dict[str, dict[str, float]]] = {}
    for method in ("network", "cg20"):
        found[method] = {}
        for num in tries:
            chosen = best_of(rows[method], n_index, num, rng)
            share = float(is_hit[chosen].mean())
            each = spent["made_s"] + (spent[f"{method}_s"] if num > 1 else 0.0)
            cost = num * each + float(np.mean(rows["relax_s"][chosen]))
            found[method][str(num)] = {
                "share_of_hits": share,
                "core_s": cost / share if share else inf,
            }
    return found


def best_of(
    estimates: NDArray[np.float64],
    n_index: NDArray[np.integer],
    num: int,
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """Rows that have the lowest estimate of ``num`` random ones of their [n], (NUM_DRAWS,)."""
    ordered = np.where(np.isfinite(estimates), estimates, inf)
    chosen = []
    for first in rng.integers(len(ordered), size=NUM_DRAWS):
        same = np.flatnonzero(n_index == n_index[first])
        others = rng.choice(same, size=num - 1)
        group = np.append(others, first)
        chosen.append(int(group[np.argmin(ordered[group])]))
    return np.array(chosen)


def loop_times(loops: list[Arrays], target_j_m2: float) -> dict[str, Any]:
    """Core-seconds of each exploration to an energy; null where it is not reached."""
    half = len(loops) // 2
    parts: Mapping[str, list[Arrays]] = {"without": loops[:half], "with": loops[half:]}
    return {
        "target_j_m2": target_j_m2,
        "core_s": {
            label: [time_to(one, target_j_m2) for one in some] for label, some in parts.items()
        },
        "lowest_j_m2": {
            label: [float(one["lowest_j_m2"][-1]) for one in some] for label, some in parts.items()
        },
    }
