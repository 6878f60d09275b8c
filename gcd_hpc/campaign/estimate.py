"""What a campaign will cost before it is started, from figures measured on one core
(benchmarks/RESULTS.md).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.site import PoolConfig, SiteConfig
from gcd_hpc.stages.table import STAGES, Stage, pool_of
from gcd_hpc.stages.tasks import Plan

# One core of an AMD EPYC (Zen 4): 12 x 12 x 60 voxels, network of width 32, about 270 atoms of an
# embedded-atom potential.
REFERENCE_VOXELS = 12 * 12 * 60
REFERENCE_WIDTH = 32
REFERENCE_ATOMS = 270
TRAIN_SAMPLE_S = 0.147 / 4
"""One structure of one training step."""
EVALUATION_S = 0.111 / 12
"""One network evaluation of one candidate."""
RELAX_S = 0.112
"""One candidate, loosely and then, if it is worth it, tightly."""
MD_STEP_S = 270 * 3e-6
"""One step of molecular dynamics of the reference structure."""
BYTES_PER_ATOM = 80
"""On disk, compressed, before and after relaxation, in its part and in results.h5."""
EVALUATIONS_PER_STEP = {"dpm-solver-3": 3, "dpm-solver++2m": 1}


@dataclass(frozen=True)
class StageEstimate:
    """What one stage of all rounds will take."""

    stage: Stage
    num_tasks: int
    num_items: int
    unit: str
    core_h: float
    disk_bytes: float


def estimate(config: CampaignConfig, plan: Plan, num_atoms: int) -> list[StageEstimate]:
    """Rough cost of every stage; the times scale with voxels, network width and atoms."""
    shape, rounds = (
        config.voxels.shape,
        plan.rounds if plan.until is None else max([v for _, v in plan.phases()], default=0),
    )
    size = shape[0] * shape[1] * shape[2] / REFERENCE_VOXELS
    network = (
        size
        * (config.network.width / REFERENCE_WIDTH) ** 2
        * (8 if config.network.patch == 1 else 1)
    )
    atoms = num_atoms / REFERENCE_ATOMS
    tries, candidates = config.search.num_tries, rounds * config.sampling.num_candidates
    steps = (
        config.training.num_steps + max(0, rounds - 1) * config.training.retrain_steps
        if rounds
        else 0
    )
    guided = 2 if config.sampling.guidance not in (0.0, 1.0) else 1
    resamples = config.sampling.resamples if config.diffusion.inpainting == "repaint" else 1
    evaluations = (
        config.sampling.num_steps
        * EVALUATIONS_PER_STEP[config.sampling.solver]
        * guided
        * resamples
    )
    canaries = config.promotion.num_canaries * rounds
    per_candidate_s = evaluations * EVALUATION_S * network
    chunks = plan.num_sample_chunks if plan.mode == "asynchronous" else 1
    relaxations = rounds * plan.num_sample_chunks * plan.num_batches
    # Stage: tasks, things that it counts, seconds of one core.
    figures: dict[Stage, tuple[int, int, float]] = {
        "search": (plan.num_search_chunks, tries, tries * (RELAX_S + _md_s(config)) * atoms),
        "select": (rounds, rounds, rounds * 2.0),
        "train": (rounds, steps, steps * config.training.batch_size * TRAIN_SAMPLE_S * network),
        "promote": (rounds, canaries, canaries * (per_candidate_s + RELAX_S * atoms)),
        "sample": (rounds * chunks, candidates, candidates * per_candidate_s),
        "relax": (relaxations, candidates, candidates * RELAX_S * atoms),
    }
    wanted = {stage for stage, _ in plan.phases()} | (
        {"sample", "relax"} if plan.mode == "asynchronous" and plan.until is None else set()
    )
    written = {"search": tries, "sample": candidates / 2, "relax": candidates}
    return [
        StageEstimate(
            stage,
            num_tasks,
            num,
            STAGES[stage].unit,
            seconds / 3600,
            written.get(stage, 0) * num_atoms * BYTES_PER_ATOM,
        )
        for stage, (num_tasks, num, seconds) in figures.items()
        if stage in wanted
    ]


def _md_s(config: CampaignConfig) -> float:
    """Mean time of the molecular dynamics of one try, whose length is drawn log-uniformly."""
    md, (fewest, most) = config.search.md, config.search.md.num_steps
    mean = fewest if most == fewest else (most - fewest) / math.log(most / fewest)
    return md.probability * mean * MD_STEP_S


def wall_h(stage: StageEstimate, site: SiteConfig) -> float | None:
    """Hours of a stage on the workers of a resolved site; None for GPUs of unknown pace."""
    pool: PoolConfig = getattr(site, pool_of(stage.stage, site.mode))
    is_launched = STAGES[stage.stage].launcher is not None and site.mode == "barrier"
    if pool.gpus_per_node:
        return None
    at_once = pool.num_workers if is_launched else min(pool.num_workers, max(1, stage.num_tasks))
    return stage.core_h / at_once


def total_core_h(stages: Sequence[StageEstimate]) -> float:
    return sum(stage.core_h for stage in stages)
