"""Crystals from two models (D1, D2): one of voxels, which is not told how many atoms there are, and
one of particles.

Fig. 1, 4 and S.2 of Lei et al. (2024) show the same models and the same cells: made once a folder,
budget and seed.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from gcd_hpc.diffusion.exploding import Exploding, SamplerKind, num_evaluations
from gcd_hpc.experiments import particles
from gcd_hpc.experiments.boundary import BUDGETS, base_config, count_chunks, search_data_set
from gcd_hpc.experiments.boundary_figures import SHOWN_A
from gcd_hpc.experiments.boundary_tasks import lowest_structure
from gcd_hpc.experiments.crystal_figures import Curves, Panel, draw_cells, draw_order, draw_voxels
from gcd_hpc.experiments.lattice_fit import LatticeFit, fit_lattice
from gcd_hpc.experiments.outcome import Outcome
from gcd_hpc.experiments.voxel_crystals import (
    CELLS,
    LATTICES,
    Lattice,
    VoxelConfig,
    crystal_cell,
    encoded,
    sample_voxels,
    train_voxels,
)
from gcd_hpc.experiments.work import Arrays, Task, Workshop
from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.structures.analysis import rdf, steinhardt
from gcd_hpc.structures.lattices import cubic_lattice
from gcd_hpc.structures.periodic import wrap

Array = NDArray[np.float64]

BOX = (float(CELLS), float(CELLS), float(CELLS))
NEIGHBORS: dict[Lattice, int] = {"sc": 6, "bcc": 8, "fcc": 12}
SAMPLERS: tuple[SamplerKind, ...] = ("ode", "sde", "restart")
NUM_SHOWN = 10
"""Cells in the curves and points of a figure, as in the paper; the numbers are of all cells."""
GOOD_RMSD = 0.02
"""Lattice constants."""
_REACH = 1.8
"""Lattice constants within which every atom has its neighbours and the RDF is drawn."""
_NUM_BINS = 180
_PARTICLE_INDEX = 10
"""Of the random starts of the first lattice and sampler; the particle models themselves have the
indices before it.
"""


@dataclass(frozen=True)
class CrystalBudget:
    """The voxel models, and how both models are sampled.

    The particle models have theirs in ``particles``.
    """

    voxels: dict[Lattice, VoxelConfig]
    num_cells: int
    sampler_steps: tuple[tuple[SamplerKind, int], ...]


QUICK = CrystalBudget(
    {"sc": VoxelConfig(), "bcc": VoxelConfig(num_steps=4500), "fcc": VoxelConfig()},
    100,
    (("ode", 25), ("sde", 60), ("restart", 10)),
)
_LARGE = VoxelConfig(
    width=64, num_blocks=3, num_steps=10_000, batch_size=16, learning_rate=6e-4, ema_decay=0.999
)
FULL = CrystalBudget(
    dict.fromkeys(LATTICES, _LARGE), 100, (("ode", 500), ("sde", 1000), ("restart", 250))
)


def budget_of(workshop: Workshop) -> CrystalBudget:
    return {"quick": QUICK, "full": FULL}[workshop.budget]


def fig4(workshop: Workshop) -> Outcome:
    """Radial distribution function and Steinhardt parameters of both models' cells beside the ideal
    crystals.
    """
    budget = budget_of(workshop)
    trainings = workshop.run(
        [
            training(workshop, lattice)
            for lattice in LATTICES
            for training in (voxel_training, particle_training)
        ],
        True,
    )
    sampled = workshop.run(
        [voxel_cells(workshop, lattice) for lattice in LATTICES]
        + [
            particle_cells(workshop, lattice, sampler)
            for lattice in LATTICES
            for sampler in SAMPLERS
        ],
        True,
    )
    numbers: dict[str, Any] = {"num_cells": budget.num_cells, "good_rmsd_a": GOOD_RMSD}
    costs: dict[str, float] = {}
    rows = []
    for number, lattice in enumerate(LATTICES):
        voxel, particle = trainings[2 * number : 2 * number + 2]
        from_voxels = sampled[number]
        from_particles = dict(zip(SAMPLERS, sampled[len(LATTICES) * (number + 1) :], strict=False))
        described = {
            sampler: describe(list(result["positions"]), lattice)
            for sampler, result in from_particles.items()
        }
        numbers[lattice] = {
            "ideal": {f"q{order}": ideal_order(lattice, order) for order in (4, 6)}
            | {"num_atoms": len(crystal_cell(lattice))},
            "voxel": describe(split(from_voxels), lattice)
            | {"num_evaluations": budget.voxels[lattice].num_evaluations},
            "particle": {
                sampler: described[sampler]
                | {"num_evaluations": evaluations(workshop, lattice, sampler)}
                for sampler in SAMPLERS
            },
            "training": {"voxel": curve(voxel), "particle": curve(particle)},
        }
        costs |= {
            f"training_voxel_{lattice}": float(voxel["core_s"]),
            f"training_particle_{lattice}": float(particle["core_s"]),
        }
        costs |= {f"sampling_voxel_{lattice}": float(from_voxels["core_s"])}
        costs |= {
            f"sampling_particle_{lattice}_{sampler}": float(result["core_s"])
            for sampler, result in from_particles.items()
        }
        shown = best_sampler(described)
        cells = {
            "voxel": split(from_voxels),
            f"particle ({shown.upper()})": list(from_particles[shown]["positions"]),
        }
        rows.append(curves(lattice, cells, particle))
    costs |= {
        kind: sum(cost for name, cost in costs.items() if name.startswith(kind))
        for kind in ("training", "sampling")
    }
    return Outcome(numbers, costs, draw_order(rows))


def fig1(workshop: Workshop) -> Outcome:
    """Simple cubic: the particle model's typical cell from a random start, and the voxel model's;
    and a grain boundary.
    """
    trainings = workshop.run(
        [voxel_training(workshop, "sc"), particle_training(workshop, "sc")], True
    )
    results = workshop.run(
        [
            voxel_cells(workshop, "sc"),
            *(particle_cells(workshop, "sc", sampler) for sampler in SAMPLERS),
        ],
        True,
    )
    by_sampler = {
        sampler: list(result["positions"])
        for sampler, result in zip(SAMPLERS, results[1:], strict=True)
    }
    shown = best_sampler({sampler: describe(cells, "sc") for sampler, cells in by_sampler.items()})
    panels = [
        panel("(a) particles", typical(by_sampler[shown], "sc"), "sc"),
        panel("(b) voxels", typical(split(results[0]), "sc"), "sc"),
    ]
    boundary, found = boundary_panel(workshop)
    numbers = {
        "sampler": shown,
        "cells": {item.title: describe([item.positions], "sc") for item in panels},
        "boundary": {
            "gb_energy_j_m2": float(found["gb_energy_j_m2"]),
            "num_atoms": len(boundary.positions),
        },
        "particle": {sampler: describe(cells, "sc") for sampler, cells in by_sampler.items()},
        "voxel": describe(split(results[0]), "sc"),
    }
    costs = {
        "training": float(sum(item["core_s"] for item in trainings)),
        "sampling": float(sum(item["core_s"] for item in results)),
    }
    return Outcome(numbers, costs, draw_cells([*panels, boundary]))


def figS2(workshop: Workshop) -> Outcome:
    """Voxel arrays: encoded from the ideal crystal, and generated."""
    trainings = workshop.run([voxel_training(workshop, lattice) for lattice in LATTICES], True)
    results = workshop.run([voxel_cells(workshop, lattice) for lattice in LATTICES], True)
    numbers: dict[str, Any] = {}
    pairs = []
    for lattice, result in zip(LATTICES, results, strict=True):
        generated, cell = result["voxels"][0], split(result)[0]
        # Where the generated crystal happens to lie, so that the two arrays can be compared voxel
        # by voxel.
        ideal = encoded(
            crystal_cell(lattice) + fit_lattice(cell, crystal_cell(lattice), BOX).offset, lattice
        )
        pairs.append((lattice.upper(), ideal, generated))
        difference = generated.astype(np.float64) - ideal
        numbers[lattice] = {
            "sum_encoded": float(ideal.sum(dtype=np.float64)),
            "sum_generated": float(generated.sum(dtype=np.float64)),
            "rms_difference": float(np.sqrt(np.square(difference).mean())),
            "std_encoded": float(ideal.std(dtype=np.float64)),
        }
    costs = {
        "training": float(sum(item["core_s"] for item in trainings)),
        "sampling": float(sum(item["core_s"] for item in results)),
    }
    return Outcome(numbers, costs, draw_voxels(pairs))


def voxel_file(workshop: Workshop, lattice: Lattice) -> Path:
    """Where the voxel model of a crystal is kept."""
    return workshop.work / f"voxel-{lattice}-{workshop.budget}-{workshop.seed}.safetensors"


def voxel_training(workshop: Workshop, lattice: Lattice) -> Task:
    arguments = (
        lattice,
        budget_of(workshop).voxels[lattice],
        workshop.seed,
        workshop.device,
        voxel_file(workshop, lattice),
    )
    return Task(f"voxel-{lattice}", train_voxels, arguments)


def voxel_cells(workshop: Workshop, lattice: Lattice) -> Task:
    budget = budget_of(workshop)
    arguments = (
        voxel_file(workshop, lattice),
        lattice,
        budget.voxels[lattice],
        workshop.seed,
        workshop.device,
        budget.num_cells,
    )
    return Task(f"voxel-{lattice}-cells", sample_voxels, arguments)


def particle_training(workshop: Workshop, lattice: Lattice) -> Task:
    return particles.training_task(workshop, lattice)


def particle_cells(workshop: Workshop, lattice: Lattice, sampler: SamplerKind) -> Task:
    budget = budget_of(workshop)
    config = particles.particle_config(lattice, workshop.budget)
    index = _PARTICLE_INDEX + LATTICES.index(lattice) * len(SAMPLERS) + SAMPLERS.index(sampler)
    sampling = (
        sampler,
        dict(budget.sampler_steps)[sampler],
        budget.num_cells,
        workshop.seed,
        index,
        workshop.device,
    )
    arguments = (lattice, particles.model_file(workshop, lattice), config, *sampling)
    return Task(f"particle-{lattice}-{sampler}", particles.sample_random_starts, arguments)


def evaluations(workshop: Workshop, lattice: Lattice, sampler: SamplerKind) -> int:
    """How often the particle model is asked for each cell."""
    process = Exploding(particles.particle_config(lattice, workshop.budget).max_sigma)
    return num_evaluations(process, sampler, dict(budget_of(workshop).sampler_steps)[sampler])


def split(sampled: Arrays) -> list[Array]:
    """Positions of each cell that ``sample_voxels`` made."""
    return np.split(sampled["positions"], np.cumsum(sampled["num_atoms"])[:-1])


def describe(cells: list[Array], lattice: Lattice) -> dict[str, Any]:
    """Numbers of atoms, distances from the best-fitting lattice, defects and bond order of cells;
    lengths in lattice constants.

    "num_recovered" cells have one atom within 0.1 nearest-neighbour distances of every site and no
    other atoms, "num_good" ones also an RMSD below 0.02 a.
    """
    ideal = crystal_cell(lattice)
    fits = [fit_lattice(cell, ideal, BOX) for cell in cells]
    rmsd, worst = np.array([fit.rmsd for fit in fits]), np.array([fit.worst for fit in fits])
    recovered = np.array([is_recovered(fit) for fit in fits])
    return {
        "num_exact": sum(len(cell) == len(ideal) for cell in cells),
        "num_recovered": int(recovered.sum()),
        "num_good": int((recovered & (rmsd < GOOD_RMSD)).sum()),
        "num_atoms": {
            str(number): count
            for number, count in sorted(Counter(len(cell) for cell in cells).items())
        },
        "rmsd_a": {"mean": rmsd.mean(), "max": rmsd.max()},
        "worst_atom_a": {"median": np.median(worst), "max": worst.max()},
        "defects_per_cell": {
            "displaced": np.mean([fit.num_displaced for fit in fits]),
            "missing": np.mean([fit.num_missing for fit in fits]),
            "extra": np.mean([fit.num_extra for fit in fits]),
        },
        "q4": bond_order(cells, lattice, 4),
        "q6": bond_order(cells, lattice, 6),
    }


def is_recovered(fit: LatticeFit) -> bool:
    return fit.num_displaced + fit.num_missing + fit.num_extra == 0


def bond_order(cells: list[Array], lattice: Lattice, order: int) -> dict[str, float]:
    """Mean over all atoms, their standard deviation, and the mean's difference from the ideal
    crystal.
    """
    values = np.concatenate([order_of(cell, lattice, order) for cell in cells])
    if not len(values):
        return {"mean": np.nan, "std": np.nan, "deviation_percent": np.nan}
    ideal = ideal_order(lattice, order)
    return {
        "mean": float(values.mean()),
        "std": float(values.std()),
        "deviation_percent": float(100 * (values.mean() / ideal - 1)),
    }


def ideal_order(lattice: Lattice, order: int) -> float:
    return float(order_of(crystal_cell(lattice), lattice, order).mean())


def order_of(cell: Array, lattice: Lattice, order: int) -> Array:
    return (
        steinhardt(cell, BOX, order, NEIGHBORS[lattice], reach=_REACH) if len(cell) else np.empty(0)
    )


def best_sampler(described: dict[SamplerKind, dict[str, Any]]) -> SamplerKind:
    """The particle model at its best: most cells recovered, then fewest empty sites."""
    return max(
        described,
        key=lambda name: (
            described[name]["num_recovered"],
            -described[name]["defects_per_cell"]["missing"],
        ),
    )


def curve(training: Arrays) -> dict[str, Any]:
    """What a training says of itself, without its costs: losses are means over a hundredth of the
    steps each.
    """
    values = {name: array for name, array in training.items() if name != "core_s"}
    if len(values["loss"]) > 100:
        chunks = np.array_split(values["loss"], 100)
        values |= {
            "loss": np.array([chunk.mean() for chunk in chunks]),
            "steps": np.cumsum([len(chunk) for chunk in chunks]),
        }
    return values


def curves(lattice: Lattice, cells: dict[str, list[Array]], particle: Arrays) -> Curves:
    """RDF (mean) and bond order (of each atom) of the first cells of each model and of the ideal
    crystal; the particle model's loss.
    """
    shown = {name: some[:NUM_SHOWN] for name, some in cells.items()} | {
        "ideal": [crystal_cell(lattice)]
    }
    radial, order = {}, {}
    for name, some in shown.items():
        radii = (np.arange(_NUM_BINS) + 0.5) * _REACH / _NUM_BINS
        radial[name] = (
            radii,
            np.mean(
                [rdf(cell, BOX, _REACH, _NUM_BINS)[1] if len(cell) else 0 * radii for cell in some],
                axis=0,
            ),
        )
        order[name] = np.concatenate(
            [
                np.stack([order_of(cell, lattice, 4), order_of(cell, lattice, 6)], axis=1)
                for cell in some
            ]
        )
    return Curves(lattice.upper(), radial, order, (particle["steps"], particle["loss"]))


def typical(cells: list[Array], lattice: Lattice) -> Array:
    """The cell whose number of defects is the median of all."""
    fits = [fit_lattice(cell, crystal_cell(lattice), BOX) for cell in cells]
    order = np.argsort(
        [fit.num_displaced + fit.num_missing + fit.num_extra for fit in fits], kind="stable"
    )
    return cells[order[len(order) // 2]]


def boundary_panel(workshop: Workshop) -> tuple[Panel, Arrays]:
    """The lowest structure of the search that the experiments on the boundary start from, in
    lattice constants.
    """
    base = base_config(workshop.seed, BUDGETS[workshop.budget])
    searched, _ = search_data_set(workshop, base)
    (found,) = workshop.run(
        [Task("lowest", lowest_structure, (searched, count_chunks(base), SHOWN_A))]
    )
    setting = load_boundary_system(str(searched))
    a0, near = setting.bulk.a0, setting.bicrystal.nearest_neighbor
    x, y, z = (found["lengths"] / a0).tolist()
    return Panel(
        "(c) grain boundary",
        found["positions"] / a0,
        found["misfit"] / a0,
        (x, y, z),
        1.1 * near / a0,
    ), found


def panel(title: str, cell: Array, lattice: Lattice) -> Panel:
    """A cell moved so that its crystal has atoms half a nearest-neighbour distance within the box,
    and each atom's way to its site.
    """
    ideal, near = crystal_cell(lattice), cubic_lattice(lattice).neighbor
    moved = wrap(cell - fit_lattice(cell, ideal, BOX).offset, BOX)
    displacements, _ = cKDTree(ideal, boxsize=BOX).query(moved)
    return Panel(title, wrap(moved + near / 2, BOX), displacements, BOX, 1.25 * near)
