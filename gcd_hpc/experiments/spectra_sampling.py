"""Cells of carbon that a particle model samples, guided by a spectrum or not."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from gcd_hpc.diffusion.exploding import Anneal
from gcd_hpc.diffusion.guidance import guided_score
from gcd_hpc.experiments.carbon_data import Frame
from gcd_hpc.experiments.spectra_targets import DENSITY, Condition, fold, target_spectrum
from gcd_hpc.experiments.work import Arrays, Report, Task, Workshop
from gcd_hpc.learning.particles import (
    Cell,
    Guide,
    Lengths,
    ParticleConfig,
    load_particles,
    random_starts,
    sample_particles,
    train_particles,
)
from gcd_hpc.learning.property_network import load_property
from gcd_hpc.learning.spectrum_likelihood import SpectrumLikelihood
from gcd_hpc.stages.material_guide import BATCH_ATOMS

PRIOR_INDEX, CELL_INDEX = 40, 41
"""Index of the random streams of the prior's training, and of all cells: cell i of every condition
has the same start and the same noise."""


def box(copies: int = 1) -> Lengths:
    """Edges of the generated cells, Å: those of the true frames of their density, repeated."""
    x, y, z = (float(copies * length) for length in fold().held_out[0].lengths)
    return x, y, z


def prior_config(num_steps: int, width: int = 48, num_layers: int = 3) -> ParticleConfig:
    """Equivariant prior of positions from 0.9 Å of noise down to 0.02 Å."""
    return ParticleConfig(
        cutoff=3.0,
        max_sigma=0.9,
        width=width,
        num_layers=num_layers,
        num_steps=num_steps,
        batch_size=1,
        learning_rate=3e-3,
        network="equivariant",
        t_min=0.02 / 0.9,
        times="focused",
    )


def prior_task(workshop: Workshop, config: ParticleConfig) -> tuple[Task, Path]:
    """Task that trains the prior without frames of the generated density, and its file."""
    what = (config, workshop.seed, workshop.device)
    task = Task(f"spectra-prior-{DENSITY:g}", train_prior, what)
    weights = workshop.path(task).with_suffix(".safetensors")
    return replace(task, arguments=(*what, weights)), weights


def train_prior(
    config: ParticleConfig, seed: int, device: str, weights: Path, report: Report
) -> Arrays:
    """Train the prior; its losses are those of ``train_particles``, on the held-out frames.

    Every density is drawn about as often as any other, however many frames it has.
    """
    frames = fold()
    counts = Counter(frame.nominal_density for frame in frames.training)
    training = [
        cell_of(frame)
        for frame in frames.training
        for _ in range(round(max(counts.values()) / counts[frame.nominal_density]))
    ]
    held_out = [cell_of(frame) for frame in frames.held_out]
    return train_particles(training, config, seed, PRIOR_INDEX, weights, report, device, held_out)


def cell_of(frame: Frame) -> Cell:
    """Atoms and box of a frame."""
    x, y, z = frame.lengths.tolist()
    return Cell(frame.positions, (x, y, z))


def sampling_task(
    workshop: Workshop,
    condition: Condition,
    prior: Path,
    guide: Path,
    plan: Anneal,
    copies: int = 1,
) -> Task:
    """Task that samples the cells of a condition; the box is ``copies`` true ones along an axis."""
    name = f"spectra-cells-{condition.name}" + ("" if copies == 1 else f"-{copies}")
    arguments = (condition, prior, guide, plan, copies, workshop.seed, workshop.device)
    return Task(name, sample_cells, arguments)


def sample_cells(
    condition: Condition,
    prior: Path,
    guide: Path,
    plan: Anneal,
    copies: int,
    seed: int,
    device: str,
    report: Report,
) -> Arrays:
    """Sample "positions" (M, N, 3) Å from uniformly random starts."""
    model = load_particles(prior, device)
    lengths = box(copies)
    num_atoms = len(fold().held_out[0].positions) * copies**3
    starts = random_starts(condition.num_cells, num_atoms, lengths, seed, CELL_INDEX)
    positions = sample_particles(
        model,
        starts,
        lengths,
        plan,
        seed,
        CELL_INDEX,
        report=report,
        batch_size=max(1, BATCH_ATOMS // num_atoms),
        guide=guide_of(condition, guide, lengths, seed, device),
    )
    return {"positions": positions}


def guide_of(
    condition: Condition, network: Path, lengths: Lengths, seed: int, device: str
) -> Guide:
    """Guidance of a condition, which leaves the score of unguided cells as it is."""
    if condition.target == "none":
        return lambda score, _: score
    target = np.asarray(target_spectrum(condition.target, seed), dtype=np.float32)
    term = SpectrumLikelihood(
        load_property(network, device),
        torch.tensor(lengths, dtype=torch.float32, device=device),
        torch.from_numpy(target[None]).to(device),
        strength=condition.strength,
        extensive=condition.is_extensive,
    )
    return lambda score, process: guided_score(score, process, [term])
