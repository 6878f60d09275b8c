"""Samples of a material's particle model, with guidance by the target spectrum and without it."""

import time
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from gcd_hpc.diffusion.exploding import Anneal
from gcd_hpc.diffusion.guidance import guided_score
from gcd_hpc.learning.material import MaterialSystem, load_material_system
from gcd_hpc.learning.particles import (
    Guide,
    ParticleModel,
    even_starts,
    load_particles,
    sample_particles,
)
from gcd_hpc.learning.property_network import PropertyModel, load_property
from gcd_hpc.learning.spectrum_likelihood import SpectrumLikelihood
from gcd_hpc.networks.checkpoint import load
from gcd_hpc.stages.material_rows import rows_result
from gcd_hpc.stages.record import begin
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import Task
from gcd_hpc.store.materials import GUIDED_ORDER
from gcd_hpc.store.run_directory import RunDirectory, chunk_indices
from gcd_hpc.store.schema import Candidate

BATCH_ATOMS = 1080
"""Atoms that pass through the networks together, at least those of one sample."""


def guide(run_dir: str, round: int, chunk: int) -> StageResult:
    """Sample the candidates of one chunk and write its part file.

    Sample i with guidance and sample i without it have the same start and noise.
    """
    begun = begin(Task("guide", round, chunk))
    torch.set_num_threads(1)  # more threads would change the order of sums, and so the last bits
    system, run = load_material_system(run_dir), RunDirectory(run_dir)
    sampling = system.config.sampling
    indices = chunk_indices(sampling.num, sampling.chunk_size, chunk)
    guided = [index for index in indices if index < sampling.num_guided]
    unguided = [index for index in indices if index >= sampling.num_guided]
    rows = _sampled(system, run, round, guided, 0, "guided")
    rows += _sampled(system, run, round, unguided, sampling.num_guided, "unguided")
    path = run.sampled_part(round, chunk)
    return begun.write(path, rows, system.config, rows_result(rows, begun.seconds()))


def _sampled(
    system: MaterialSystem,
    run: RunDirectory,
    round: int,
    indices: list[int],
    offset: int,
    kind: str,
) -> list[Candidate]:
    """Rows of samples of one kind, whose indices follow one another.

    Args:
        offset: index of the first sample of this kind in the round.
    """
    if not indices:
        return []
    assert kind in GUIDED_ORDER
    started = time.perf_counter()
    material, sampling = system.config.material, system.config.sampling
    model, sha256 = kept_prior(str(run.path), round)
    first, seed = indices[0] - offset, system.config.seed
    starts = even_starts(
        len(indices),
        material.num_atoms,
        system.lengths,
        system.config.prior.max_sigma_a,
        seed,
        round,
        first=first,
    )
    positions = sample_particles(
        model,
        starts,
        system.lengths,
        Anneal(sampling.num_restarts, num_descent_steps=sampling.num_steps),
        seed,
        round,
        batch_size=max(1, BATCH_ATOMS // material.num_atoms),
        guide=guide_of(system, run, round) if kind == "guided" else lambda score, _: score,
        first=first,
    )
    seconds = (time.perf_counter() - started) / len(indices)
    return [
        replace(
            system.row("model", round, index, one, system.lengths),
            guided=kind,
            model_sha256=sha256,
            sample_s=seconds,
        )
        for index, one in zip(indices, positions, strict=True)
    ]


def guide_of(system: MaterialSystem, run: RunDirectory, round: int) -> Guide:
    """Guidance by the target spectrum with the property network of a round."""
    section = system.config.spectrum_guidance
    assert section is not None  # MaterialConfig sees to it
    term = SpectrumLikelihood(
        kept_property(str(run.path), round),
        torch.tensor(system.lengths, dtype=torch.float32),
        torch.from_numpy(system.target.values.astype(np.float32)),
        strength=section.strength,
        extensive=section.extensive,
    )
    return lambda score, process: guided_score(score, process, [term])


@lru_cache(maxsize=1)  # models of earlier rounds are not needed again
def kept_prior(run_dir: str, round: int) -> tuple[ParticleModel, str]:
    """Particle model of a round, kept for all chunks of this worker, and its hash."""
    path = RunDirectory(run_dir).model_file(round)
    return load_particles(path), str(load(path)[1]["sha256"])


@lru_cache(maxsize=1)  # as above
def kept_property(run_dir: str, round: int) -> PropertyModel:
    """Property network of a round, kept for all chunks of this worker."""
    return load_property(RunDirectory(run_dir).property_model(round))
