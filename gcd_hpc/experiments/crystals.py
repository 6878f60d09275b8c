"""Crystals from a voxel model, which is not given the number of atoms, and a particle model.

Fig. 1, 4 and S.2 of Lei et al. (2024) use the same models and cells, which are made once for each
folder, budget and seed.
"""

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
from gcd_hpc.experiments.crystal_figures import Panel, draw_cells, draw_order, draw_voxels
from gcd_hpc.experiments.crystal_numbers import (
    GOOD_RMSD,
    best_sampler,
    curve,
    curves,
    describe,
    ideal_order,
    split,
    typical,
)
from gcd_hpc.experiments.lattice_fit import fit_lattice
from gcd_hpc.experiments.outcome import Outcome
from gcd_hpc.experiments.voxel_crystals import (
    BOX,
    LATTICES,
    Lattice,
    VoxelConfig,
    crystal_cell,
    encoded,
    sample_voxels,
    train_voxels,
)
from gcd_hpc.experiments.work import Arrays, Task, Workshop, core_s
from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.structures.lattices import cubic_lattice
from gcd_hpc.structures.periodic import wrap

Array = NDArray[np.float64]

SAMPLERS: tuple[SamplerKind, ...] = ("ode", "sde", "restart")
_PARTICLE_INDEX = 10
"""First index of the random starts; lower ones belong to the particle models."""


@dataclass(frozen=True)
class CrystalBudget:
    """Amounts for the voxel models and for sampling both models; ``particles`` has its own."""

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
    """Budget that the command selected."""
    return {"quick": QUICK, "full": FULL}[workshop.budget]


def fig4(workshop: Workshop) -> Outcome:
    """RDF and Steinhardt parameters of both models' cells beside the ideal crystals (Fig. 4)."""
    budget = budget_of(workshop)
    tasks = [
        training(workshop, lattice)
        for lattice in LATTICES
        for training in (voxel_training, particles.training_task)
    ]
    trainings = workshop.run(tasks, True)
    samplings = [voxel_cells(workshop, lattice) for lattice in LATTICES]
    samplings += [
        particle_cells(workshop, lattice, sampler) for lattice in LATTICES for sampler in SAMPLERS
    ]
    sampled = workshop.run(samplings, True)
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
        costs |= lattice_costs(lattice, voxel, particle, from_voxels, from_particles)
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


def lattice_costs(
    lattice: Lattice,
    voxel: Arrays,
    particle: Arrays,
    from_voxels: Arrays,
    from_particles: dict[SamplerKind, Arrays],
) -> dict[str, float]:
    """Core-seconds of the trainings and samplings of one crystal."""
    return {
        f"training_voxel_{lattice}": float(voxel["core_s"]),
        f"training_particle_{lattice}": float(particle["core_s"]),
        f"sampling_voxel_{lattice}": float(from_voxels["core_s"]),
    } | {
        f"sampling_particle_{lattice}_{sampler}": float(result["core_s"])
        for sampler, result in from_particles.items()
    }


def fig1(workshop: Workshop) -> Outcome:
    """Typical simple cubic cells of both models, and a grain boundary (Fig. 1)."""
    trainings = workshop.run(
        [voxel_training(workshop, "sc"), particles.training_task(workshop, "sc")], True
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
        "training": core_s(trainings),
        "sampling": core_s(results),
    }
    return Outcome(numbers, costs, draw_cells([*panels, boundary]))


def figS2(workshop: Workshop) -> Outcome:
    """Voxel arrays encoded from the ideal crystal, and generated ones (Fig. S.2)."""
    trainings = workshop.run([voxel_training(workshop, lattice) for lattice in LATTICES], True)
    results = workshop.run([voxel_cells(workshop, lattice) for lattice in LATTICES], True)
    numbers: dict[str, Any] = {}
    pairs = []
    for lattice, result in zip(LATTICES, results, strict=True):
        generated, cell = result["voxels"][0], split(result)[0]
        # The ideal crystal is shifted onto the generated one, to compare the arrays voxel by voxel.
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
        "training": core_s(trainings),
        "sampling": core_s(results),
    }
    return Outcome(numbers, costs, draw_voxels(pairs))


def voxel_file(workshop: Workshop, lattice: Lattice) -> Path:
    """Path of the voxel model of a crystal."""
    return workshop.work / f"voxel-{lattice}-{workshop.budget}-{workshop.seed}.safetensors"


def voxel_training(workshop: Workshop, lattice: Lattice) -> Task:
    """Training task of a crystal's voxel model."""
    arguments = (
        lattice,
        budget_of(workshop).voxels[lattice],
        workshop.seed,
        workshop.device,
        voxel_file(workshop, lattice),
    )
    return Task(f"voxel-{lattice}", train_voxels, arguments)


def voxel_cells(workshop: Workshop, lattice: Lattice) -> Task:
    """Sampling task of a crystal's voxel model."""
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


def particle_cells(workshop: Workshop, lattice: Lattice, sampler: SamplerKind) -> Task:
    """Sampling task of a crystal's particle model."""
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
    """Number of network evaluations of the particle model for each cell."""
    process = Exploding(particles.particle_config(lattice, workshop.budget).max_sigma)
    return num_evaluations(process, sampler, dict(budget_of(workshop).sampler_steps)[sampler])


def boundary_panel(workshop: Workshop) -> tuple[Panel, Arrays]:
    """Lowest structure of the boundary search, in lattice constants."""
    base = base_config(workshop.seed, BUDGETS[workshop.budget])
    searched, _ = search_data_set(workshop, base)
    (found,) = workshop.run(
        [Task("lowest", lowest_structure, (searched, count_chunks(base), SHOWN_A))]
    )
    system = load_boundary_system(str(searched))
    a0, near = system.bulk.a0, system.bicrystal.nearest_neighbor
    x, y, z = (found["lengths"] / a0).tolist()
    return Panel(
        "(c) grain boundary",
        found["positions"] / a0,
        found["misfit"] / a0,
        (x, y, z),
        1.1 * near / a0,
    ), found


def panel(title: str, cell: Array, lattice: Lattice) -> Panel:
    """Cell shifted away from the faces of its box, and each atom's displacement from its site."""
    ideal, near = crystal_cell(lattice), cubic_lattice(lattice).neighbor
    moved = wrap(cell - fit_lattice(cell, ideal, BOX).offset, BOX)
    displacements, _ = cKDTree(ideal, boxsize=BOX).query(moved)
    return Panel(title, wrap(moved + near / 2, BOX), displacements, BOX, 1.25 * near)
