"""Particle models of the cubic crystals that the voxel models are compared with."""

from pathlib import Path
from typing import Literal

from gcd_hpc.diffusion.exploding import SamplerKind, Steps
from gcd_hpc.experiments.voxel_crystals import BOX, LATTICES, Lattice, crystal_cell
from gcd_hpc.experiments.work import Arrays, Report, Task, Workshop
from gcd_hpc.learning.particles import (
    Cell,
    ParticleConfig,
    load_particles,
    random_starts,
    sample_particles,
    train_particles,
)
from gcd_hpc.structures.lattices import cubic_lattice


def particle_config(lattice: Lattice, budget: Literal["quick", "full"]) -> ParticleConfig:
    """Config for a 4x4x4 crystal of lattice constant 1, with the paper's noise.

    The paper gives no sizes; these are within its description. "quick" is narrower than "full",
    because a narrow network learns more in few core-seconds.
    """
    cutoff = {"sc": 1.6, "bcc": 1.8, "fcc": 1.5}[lattice] * cubic_lattice(
        lattice
    ).neighbor  # between two shells
    if budget == "full":
        return ParticleConfig(
            cutoff,
            0.4,
            width=200,
            num_layers=5,
            num_steps=20_000,
            batch_size=16,
            learning_rate=1e-3,
            num_warmup=1000,
        )
    # Batches of 512 atoms take 5 to 7 core-minutes, more than the voxel models.
    num_steps, batch_size = {"sc": (4500, 8), "bcc": (4500, 4), "fcc": (4400, 2)}[lattice]
    return ParticleConfig(
        cutoff,
        0.4,
        width=64,
        num_layers=5,
        num_steps=num_steps,
        batch_size=batch_size,
        learning_rate=3e-3,
    )


def model_file(workshop: Workshop, lattice: Lattice) -> Path:
    """Path of a crystal's model, shared by all experiments of a folder, budget and seed."""
    return workshop.work / f"particle-{lattice}-{workshop.budget}-{workshop.seed}.safetensors"


def training_task(workshop: Workshop, lattice: Lattice) -> Task:
    """Training task of a crystal's model; its second argument is the config."""
    config = particle_config(lattice, workshop.budget)
    arguments = (
        lattice,
        config,
        workshop.seed,
        LATTICES.index(lattice),
        model_file(workshop, lattice),
        workshop.device,
    )
    return Task(f"particle-{lattice}", train_crystal, arguments)


def train_crystal(
    lattice: Lattice,
    config: ParticleConfig,
    seed: int,
    index: int,
    path: Path,
    device: str = "cpu",
    report: Report = lambda _: None,
) -> Arrays:
    """Task that trains a model on one ideal crystal."""
    cells = [Cell(crystal_cell(lattice), BOX)]
    return train_particles(cells, config, seed, index, path, report, device)


def sample_random_starts(
    lattice: Lattice,
    path: Path,
    config: ParticleConfig,
    sampler: SamplerKind,
    num_steps: int,
    num: int,
    seed: int,
    index: int,
    device: str = "cpu",
    report: Report = lambda _: None,
) -> Arrays:
    """Task that samples a crystal's model from random starts: "positions" (num, N, 3)."""
    starts = random_starts(num, len(crystal_cell(lattice)), BOX, seed, index)
    model, steps = load_particles(path, device, config), Steps(sampler, num_steps)
    return {"positions": sample_particles(model, starts, BOX, steps, seed, index, 1.0, report)}
