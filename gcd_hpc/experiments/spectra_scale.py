"""Large carbon cells (k3): the networks are local, so that cells of any size can be made.

One prior, trained on 216 atoms, makes cells of 216, 1,728 and 13,824. Guidance of a mean over all
atoms weakens with their number unless it is extensive.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.experiments.carbon_numbers import RDF_BIN, rdf_difference
from gcd_hpc.experiments.outcome import Outcome
from gcd_hpc.experiments.spectra_guided import FULL as FULL_GUIDED
from gcd_hpc.experiments.spectra_guided import QUICK as QUICK_GUIDED
from gcd_hpc.experiments.spectra_guided import GuidedBudget, judge_cells, network_tasks
from gcd_hpc.experiments.spectra_numbers import (
    bond_numbers,
    resampled_means,
    rms,
    structure_factor,
)
from gcd_hpc.experiments.spectra_outcome import Check, table
from gcd_hpc.experiments.spectra_sampling import box, sampling_task
from gcd_hpc.experiments.spectra_scale_figure import scale_figure
from gcd_hpc.experiments.spectra_targets import Condition, target_spectrum
from gcd_hpc.experiments.work import Arrays, Task, Workshop, core_s
from gcd_hpc.seeds import CARBON, generator
from gcd_hpc.structures.analysis import mean_rdf

Array = NDArray[np.float64]

Q_MAX, Q_BIN = 2.0, 0.125
"""Longest wave and width of the bins of S(q), 1/Å; the first sharp peak of carbon lies near 2.9."""
GUIDED_COPIES = 2
"""Copies of the small box along each axis of the larger guided cells: 1,728 atoms."""
TARGET = "3.0"
UNGUIDED = Condition("unguided-large", "none")
RESAMPLE_SHARES = 32
"""Purpose of the random stream that resamples cells; the key is (CARBON, RESAMPLE_SHARES)."""


@dataclass(frozen=True)
class ScaleBudget:
    """Sizes and the budget of the guided cells, with which networks and small cells are shared."""

    guided: GuidedBudget
    copies: tuple[int, ...]
    """Copies of the box of 216 atoms along each axis, beside 1; one cell each, but of
    GUIDED_COPIES."""
    num_guided: int
    """Cells of GUIDED_COPIES in each condition, the unguided one included."""


QUICK = ScaleBudget(QUICK_GUIDED, (2, 4), num_guided=8)
FULL = ScaleBudget(FULL_GUIDED, (2, 4, 8), num_guided=20)


def k3(workshop: Workshop) -> Outcome:
    """Cells of 216 to 13,824 atoms (full: 110,592), unguided and guided."""
    return study_scale(workshop, {"quick": QUICK, "full": FULL}[workshop.budget])


def study_scale(workshop: Workshop, budget: ScaleBudget) -> Outcome:
    """Run the experiment with any budget."""
    guided = budget.guided
    (prior, prior_file), (guide, guide_file), (judge, judge_file) = network_tasks(workshop, guided)
    trained = workshop.run([prior, guide, judge], on_device=True)
    files = (prior_file, guide_file, guided.plan)
    target = guided.condition(TARGET)
    num = budget.num_guided
    plain = replace(target, name=f"{TARGET}-plain", num_cells=num, is_extensive=False)
    # Cells of 216 atoms first; they are those of k2.
    small = [sampling_task(workshop, one, *files) for one in (guided.condition("unguided"), target)]
    large = [
        sampling_task(
            workshop,
            replace(UNGUIDED, num_cells=num if copies == GUIDED_COPIES else 1),
            *files,
            copies,
        )
        for copies in budget.copies
    ]
    pulled = [
        sampling_task(workshop, one, *files, GUIDED_COPIES)
        for one in (plain, replace(plain, name=f"{TARGET}-extensive", is_extensive=True))
    ]
    sampled = workshop.run([*small, *large, *pulled], on_device=True)
    judged = workshop.run(
        [
            _judging_task(workshop, "216", small, 1, judge_file, guide_file),
            _judging_task(
                workshop, "1728", [large[0], *pulled], GUIDED_COPIES, judge_file, guide_file
            ),
        ]
    )
    cells = [sampled[0], *sampled[len(small) : len(small) + len(large)]]
    sizes = {
        str(result["positions"].shape[1]): size_numbers(
            result, copies, cells[0]["positions"], guided.plan.num_evaluations
        )
        for result, copies in zip(cells, (1, *budget.copies), strict=True)
    }
    pull = pull_numbers(judged[0], judged[1], workshop.seed)
    numbers = {"acceptance": table(checks(sizes, pull)), "sizes": sizes, "guided": pull}
    costs = {"training": core_s(trained), "sampling": core_s(sampled), "judging": core_s(judged)}
    largest = np.array(box(budget.copies[-1]))
    return Outcome(numbers, costs, scale_figure(cells[-1]["positions"][0], largest, numbers))


def _judging_task(
    workshop: Workshop, size: str, sampling: list[Task], copies: int, judge: Path, guide: Path
) -> Task:
    sources = tuple(workshop.path(task) for task in sampling)
    return Task(f"spectra-judged-{size}", judge_cells, (sources, box(copies), judge, guide))


def size_numbers(result: Arrays, copies: int, small: Array, num_evaluations: int) -> dict[str, Any]:
    """Bonds, g(r), S(q) and cost of unguided cells of one size.

    Args:
        small: (M, 216, 3) Å, the cells that g(r) is compared with.
    """
    positions, lengths = result["positions"], copies * np.array(box())
    curve, reference = rdf_of(positions, lengths), rdf_of(small, np.array(box()))
    num_cells, num_atoms, _ = positions.shape
    q, s = low_q(positions, lengths)
    return {
        "num_cells": num_cells,
        "bonds": bond_numbers(positions, lengths),
        "rdf_to_216": rdf_difference(curve, reference),
        "r": curve[0].tolist(),
        "g": curve[1].tolist(),
        "q": q.tolist(),
        "s": s.tolist(),
        "core_us_per_atom_and_evaluation": 1e6
        * float(result["core_s"])
        / (num_cells * num_atoms * num_evaluations),
    }


def rdf_of(positions: Array, lengths: Array) -> tuple[Array, Array]:
    """Mean g(r) on the bins of the smallest box, whatever the box."""
    r_max = RDF_BIN * int(min(box()) / 2 / RDF_BIN)
    return mean_rdf(positions, lengths, r_max, round(r_max / RDF_BIN))


def low_q(positions: Array, lengths: Array) -> tuple[Array, Array]:
    """S(q) in bins that hold a wave of the box: their mean q (1/Å) and mean S."""
    curves = [structure_factor(cell, lengths, Q_MAX) for cell in positions]
    q, s = np.concatenate([one[0] for one in curves]), np.concatenate([one[1] for one in curves])
    bins = np.floor(q / Q_BIN).astype(int)
    held = np.unique(bins)
    return (
        np.array([q[bins == each].mean() for each in held]),
        np.array([s[bins == each].mean() for each in held]),
    )


def pull_numbers(small: Arrays, large: Arrays, seed: int) -> dict[str, Any]:
    """Errors to the target of unguided and guided cells of 216 and 1,728 atoms.

    The fall of the error at 1,728 atoms is a share of that at 216; its interval is from resampling
    the cells of all conditions. Both are None where guidance does not lower the error at 216 in
    every resampling, for a share of nothing says nothing.
    """
    target = target_spectrum("high", seed)
    spectra = {
        "unguided_216": small["judge-0"],
        "guided_216": small["judge-1"],
        "unguided_1728": large["judge-0"],
        "plain_1728": large["judge-1"],
        "extensive_1728": large["judge-2"],
    }
    rng = generator(seed, CARBON, RESAMPLE_SHARES)
    errors = {name: rms(found - target) for name, found in spectra.items()}
    drawn = {name: resampled_means(found, rng) for name, found in errors.items()}
    numbers: dict[str, Any] = {name: float(found.mean()) for name, found in errors.items()}
    numbers["num_cells"] = {name: len(found) for name, found in errors.items()}
    is_sure = bool((drawn["unguided_216"] > drawn["guided_216"]).all())
    for name in ("plain", "extensive"):
        share = interval = None
        if is_sure:
            share = _share_of_fall(numbers, name)
            interval = np.quantile(_share_of_fall(drawn, name), (0.025, 0.975)).tolist()
        numbers |= {f"{name}_share_of_fall": share, f"{name}_share_interval": interval}
    return numbers


def _share_of_fall(errors: dict[str, Any], name: str) -> Any:
    """Fall of the error in guided cells of 1,728 atoms, as a share of that in cells of 216."""
    fall = errors["unguided_216"] - errors["guided_216"]
    return (errors["unguided_1728"] - errors[f"{name}_1728"]) / fall


def checks(sizes: dict[str, Any], pull: dict[str, Any]) -> list[Check]:
    """The rows of scale in the table of expectations."""
    smallest, largest = (sizes[size] for size in (min(sizes, key=int), max(sizes, key=int)))
    rdf = largest["rdf_to_216"]
    off = 100.0 * abs(largest["bonds"]["sp3"] - smallest["bonds"]["sp3"])
    share = pull["extensive_share_of_fall"]
    measured = "guidance does not surely lower the error at 216"
    if share is not None:
        low, high = pull["extensive_share_interval"]
        plainly = pull["plain_share_of_fall"]
        measured = f"{share:.2f} ({low:.2f} to {high:.2f}; not extensive: {plainly:.2f})"
    return [
        Check("g(r) of the largest cell to 216 atoms", "<= 0.10", f"{rdf:.3f}", rdf <= 0.10),
        Check("sp3 of the largest cell to 216 atoms", "<= 3 points", f"{off:.1f} points", off <= 3),
        Check(
            "guided 1,728 atoms, extensive: fall of the error",
            ">= 0.8 of that at 216",
            measured,
            share is not None and share >= 0.8,
        ),
    ]
