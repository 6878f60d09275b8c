"""Recovery of crystals by a particle model against the noise of the start (Fig. 2).

See docs/science.md#c5.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from gcd_hpc.diffusion.exploding import SamplerKind, Steps
from gcd_hpc.experiments.colours import BLUE, GREY, RED
from gcd_hpc.experiments.lattice_fit import fit_lattice
from gcd_hpc.experiments.outcome import Outcome
from gcd_hpc.experiments.particles import model_file, training_task
from gcd_hpc.experiments.voxel_crystals import BOX, crystal_cell
from gcd_hpc.experiments.work import Arrays, Report, Task, Workshop, core_s
from gcd_hpc.learning.particles import (
    ParticleConfig,
    load_particles,
    noisy_starts,
    random_starts,
    sample_particles,
)
from gcd_hpc.structures import analysis
from gcd_hpc.structures.analysis import steinhardt
from gcd_hpc.structures.periodic import wrap

Array = NDArray[np.float64]

SIGMAS: tuple[float | None, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, None)
"""Noise of the starts, in lattice constants; None for uniform random positions."""
LEAST_NOISE = 0.02
"""Least noise level given to the model, in lattice constants; at zero, sampling has no steps."""
RDF_BINS = 125
RDF_REACH = 2.5
RDF_SMEARING = 0.05
"""Smearing of the RDFs compared, in lattice constants: distances then grow with shifts of peaks."""
FIRST_INDEX = 100
"""First index of the sweep's random streams; lower ones belong to models."""

BEFORE = BLUE
AFTER = RED
IDEAL = GREY


@dataclass(frozen=True)
class StartNoiseBudget:
    """Amounts of sampling for each noise level."""

    num_cells: int
    sampler: SamplerKind
    num_steps: int


QUICK = StartNoiseBudget(num_cells=10, sampler="ode", num_steps=40)
FULL = StartNoiseBudget(num_cells=10, sampler="ode", num_steps=500)


def fig2(workshop: Workshop) -> Outcome:
    """Simple cubic cells denoised from starts between the ideal crystal and random positions."""
    budget = {"quick": QUICK, "full": FULL}[workshop.budget]
    training = training_task(workshop, "sc")
    model = workshop.run([training], on_device=True)[0]
    config: ParticleConfig = training.arguments[1]
    path = model_file(workshop, "sc")
    tasks = [
        Task(
            f"start-noise-{label(sigma)}",
            denoise_starts,
            (sigma, path, config, budget, workshop.seed, FIRST_INDEX + number, workshop.device),
        )
        for number, sigma in enumerate(SIGMAS)
    ]
    results = workshop.run(tasks, on_device=True)
    levels = []
    for sigma, result in zip(SIGMAS, results, strict=True):
        levels.append(
            {
                "sigma": "random" if sigma is None else sigma,
                "t_start": start_time(sigma, config),
                "start": describe(result["starts"]),
                "generated": describe(result["positions"]),
            }
        )
    numbers = {
        "sampler": budget.sampler,
        "num_steps": budget.num_steps,
        "num_cells": budget.num_cells,
        "ideal_q6": float(steinhardt(crystal_cell("sc"), BOX, 6, 6, reach=RDF_REACH).mean()),
        "levels": levels,
        "training": {
            name: model[name] for name in ("steps", "loss", "validation_t", "validation_loss")
        },
    }
    costs = {
        "training": float(model["core_s"]),
        "sampling": core_s(results),
    }
    return Outcome(numbers, costs, draw(results, levels))


def denoise_starts(
    sigma: float | None,
    path: Path,
    config: ParticleConfig,
    budget: StartNoiseBudget,
    seed: int,
    index: int,
    device: str,
    report: Report = lambda _: None,
) -> Arrays:
    """Task of one noise level: "starts" and "positions" (M, N, 3) in lattice constants."""
    clean = crystal_cell("sc")
    if sigma is None:
        starts = random_starts(budget.num_cells, len(clean), BOX, seed, index)
    else:
        starts = noisy_starts(clean, sigma, budget.num_cells, seed, index)
    t_start = start_time(sigma, config)
    model, steps = load_particles(path, device, config), Steps(budget.sampler, budget.num_steps)
    samples = sample_particles(model, starts, BOX, steps, seed, index, t_start, report)
    return {"starts": wrap(starts, BOX), "positions": samples}


def start_time(sigma: float | None, config: ParticleConfig) -> float:
    """Time at which the noise of the process equals that of the start, at most 1."""
    return 1.0 if sigma is None else min(1.0, max(sigma, LEAST_NOISE) / config.max_sigma)


def label(sigma: float | None) -> str:
    """Text for a noise level."""
    return "random" if sigma is None else f"{sigma:.1f}"


def describe(cells: Array) -> dict[str, Any]:
    """Measures of crystalline order of cells (M, N, 3).

    A cell is recovered if every atom is within 0.1 a of its own site of the best-fitting crystal.
    """
    ideal = crystal_cell("sc")
    fits = [fit_lattice(cell, ideal, BOX) for cell in cells]
    recovered = [fit.num_defects == 0 for fit in fits]
    return {
        "num_recovered": sum(recovered),
        "share_recovered": float(np.mean(recovered)),
        "rmsd": [fit.rmsd for fit in fits],
        "vacancies": [fit.num_missing for fit in fits],
        "displaced": [fit.num_displaced for fit in fits],
        "close_pairs": [num_close_pairs(cell) for cell in cells],
        "q6": float(
            np.mean([steinhardt(cell, BOX, 6, 6, reach=RDF_REACH).mean() for cell in cells])
        ),
        "rdf_distance": rdf_distance(cells, ideal[None]),
    }


def num_close_pairs(cell: Array) -> int:
    """Number of pairs closer than half a lattice constant, such as two atoms on one site."""
    return len(cKDTree(wrap(cell, BOX), boxsize=BOX).query_pairs(0.5))


def mean_rdf(cells: Array) -> tuple[Array, Array]:
    """Bin centres and mean g(r) of cells (M, N, 3)."""
    return analysis.mean_rdf(cells, BOX, RDF_REACH, RDF_BINS)


def rdf_distance(cells: Array, others: Array) -> float:
    """Mean of |g - g'| over the sphere of 2.5 a, both smeared; at most 1 from crystal to gas.

    The mean is over the volume; one over r would be dominated by the few pairs on one site.
    """
    radii, first = mean_rdf(cells)
    _, second = mean_rdf(others)
    weights = np.exp(-0.5 * np.square((radii[:, None] - radii) / RDF_SMEARING))
    weights /= weights.sum(axis=1, keepdims=True)
    return float(np.average(np.abs(weights @ (first - second)), weights=radii**2))


def draw(results: list[Arrays], levels: list[dict[str, Any]]) -> Figure:
    """One row for each noise level: RDF before sampling on the left, after it on the right."""
    figure = Figure(figsize=(5.2, 7.2), layout="constrained")
    axes = figure.subplots(len(levels), 2, sharex=True, sharey="row", squeeze=False)
    ideal = mean_rdf(crystal_cell("sc")[None])
    for row, sigma, result, level in zip(axes, SIGMAS, results, levels, strict=True):
        for axis, name, key, color in zip(
            row, ("starts", "positions"), ("start", "generated"), (BEFORE, AFTER), strict=True
        ):
            radii, g = mean_rdf(result[name])
            axis.vlines(
                ideal[0][ideal[1] > 0],
                0,
                1,
                transform=axis.get_xaxis_transform(),
                color=IDEAL,
                linewidth=0.6,
                alpha=0.6,
            )
            axis.fill_between(radii, g, color=color, alpha=0.35, linewidth=0)
            axis.plot(radii, g, color=color, linewidth=1.0)
            axis.set_title(
                f"{level[key]['num_recovered']} of {len(result[name])} recovered",
                fontsize=7,
                loc="right",
                pad=2,
            )
            axis.set_xlim(0, RDF_REACH)
            axis.tick_params(labelsize=7)
        # Two atoms on one site give a peak of any height at zero.
        row[0].set_ylim(
            0,
            1.2
            * max(
                g[radii > 0.5].max()
                for radii, g in (mean_rdf(result[name]) for name in ("starts", "positions"))
            ),
        )
        row[0].set_ylabel("random" if sigma is None else f"σ = {sigma:g} a", fontsize=8)
    axes[0, 0].set_title("start", fontsize=9, loc="left")
    axes[0, 1].set_title("generated", fontsize=9, loc="left")
    for axis in axes[-1]:
        axis.set_xlabel("distance r / a", fontsize=8)
    figure.supylabel("radial distribution function g(r)", fontsize=8)
    return figure
