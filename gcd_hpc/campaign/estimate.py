"""Expected cost of a campaign, scaled from one-core timings (benchmarks/RESULTS.md)."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gcd_hpc.campaign.state import State
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.learning import EVALUATIONS_PER_STEP
from gcd_hpc.config.simulation import MolecularDynamicsConfig
from gcd_hpc.config.site import PoolConfig, SiteConfig
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.shared import MAX_CANARY_BOUNDARIES
from gcd_hpc.stages.table import EXPLORE, ROUND, SAMPLES, SEARCH, STAGES, Stage, pool_of

# One core of an AMD EPYC (Zen 4): 12 x 12 x 60 voxels, network of width 32, about 270 atoms of an
# embedded-atom potential.
REFERENCE_VOXELS = 12 * 12 * 60
REFERENCE_WIDTH = 32
REFERENCE_ATOMS = 270
TRAIN_SAMPLE_S = 0.147 / 4
"""Time of one training step for each structure of its batch."""
EVALUATION_S = 0.111 / 12
"""Time of one network evaluation for one candidate."""
RELAX_S = 0.112
"""Mean time of a relaxation: the loose screen, and the tight preset for promising candidates."""
MOVE_S = 0.05
"""Mean time of a move of exploration without dynamics. Most end near the relaxed structure that
they changed.
"""
MD_STEP_S = 270 * 3e-6
"""Time of one molecular-dynamics step of the reference structure."""
ANNEALED_MOVES = 0.05
"""Share of the moves of exploration that are annealed where all kinds have an equal share of the
cost.
"""
BYTES_PER_ATOM = 80
"""Compressed size on disk before and after relaxation, in a part and in results.h5."""
ENOUGH_DONE = 0.02
"""Smallest part of a campaign's expected time from which the rest is extrapolated."""


@dataclass(frozen=True)
class StageEstimate:
    """Expected cost of one stage over all rounds."""

    stage: Stage
    num_tasks: int
    num_items: int
    unit: str
    core_h: float
    disk_bytes: float


def estimate(
    config: CampaignConfig, plan: Plan, num_atoms: int, num_voxels: int
) -> list[StageEstimate]:
    """Rough cost of every stage; the times scale with voxels, network width and atoms.

    Args:
        num_voxels: voxels for which the network computes, by ``num_computed_of``.
    """
    num = num_phases(plan)
    atoms, network = num_atoms / REFERENCE_ATOMS, _network_size(config, num_voxels)
    training = config.training
    tries, candidates = config.search.num_tries, num["sample"] * config.sampling.num_candidates
    canaries, steps = (
        num["promote"] * config.promotion.num_canaries,
        _num_steps(config, num["train"]),
    )
    sample_s = _evaluations(config) * EVALUATION_S * network
    relax_s = RELAX_S * atoms
    md_s = config.search.md.probability * _md_s(config.search.md)
    move_md_s = ANNEALED_MOVES * _md_s(config.explore.md)
    step_s = training.batch_size * training.mean_cells * TRAIN_SAMPLE_S * network
    chunks = plan.num_sample_chunks if plan.mode == "asynchronous" else 1
    relaxations = num["relax"] * plan.num_sample_chunks * plan.num_batches
    explorations = num["explore"] * plan.num_tasks("explore")
    moves = explorations * config.explore.moves_per_task
    # Stage: number of tasks, number of items, core-seconds.
    figures: dict[Stage, tuple[int, int, float]] = {
        "search": (
            plan.num_search_chunks,
            tries,
            tries * (RELAX_S + md_s) * atoms,
        ),
        "select": (num["select"], num["select"], num["select"] * 2.0),
        "train": (num["train"], steps, steps * step_s),
        "promote": (num["promote"], canaries, canaries * (sample_s + relax_s)),
        "sample": (num["sample"] * chunks, candidates, candidates * sample_s),
        "relax": (relaxations, candidates, candidates * relax_s),
        "explore": (explorations, moves, moves * (MOVE_S + move_md_s) * atoms),
    }
    written = {"search": tries, "sample": candidates / 2, "relax": candidates, "explore": moves}
    return [
        StageEstimate(
            stage,
            num_tasks,
            num_items,
            STAGES[stage].unit,
            seconds / 3600,
            written.get(stage, 0) * num_atoms * BYTES_PER_ATOM,
        )
        for stage, (num_tasks, num_items, seconds) in figures.items()
        if num[stage]
    ]


def num_phases(plan: Plan) -> Counter[Stage]:
    """Number of times that each stage is run."""
    if plan.mode == "barrier" or plan.until is not None:
        return Counter(stage for stage, _ in plan.phases())
    # Stages that overlap are no phases.
    num = Counter(dict.fromkeys(ROUND, plan.rounds) | {SEARCH: min(1, plan.num_search_chunks)})
    num.update(dict.fromkeys(SAMPLES, plan.num_sampled_rounds - plan.rounds))
    num[EXPLORE] = (plan.rounds + 1) * min(1, plan.generations)
    return num


def total_of(campaigns: Sequence[Sequence[StageEstimate]]) -> list[StageEstimate]:
    """Cost of each stage of the boundaries of a set together, which share their model."""
    return [_total(stages) for stages in zip(*campaigns, strict=True)]


def _total(stages: Sequence[StageEstimate]) -> StageEstimate:
    first, mean_h = stages[0], sum(one.core_h for one in stages) / len(stages)
    if first.stage == "train":
        # Each step draws one boundary.
        return replace(first, core_h=mean_h)
    if first.stage == "promote":
        num = min(MAX_CANARY_BOUNDARIES, len(stages))
        return replace(first, num_items=num * first.num_items, core_h=num * mean_h)
    return replace(
        first,
        num_tasks=sum(one.num_tasks for one in stages),
        num_items=sum(one.num_items for one in stages),
        core_h=sum(one.core_h for one in stages),
        disk_bytes=sum(one.disk_bytes for one in stages),
    )


def _network_size(config: CampaignConfig, num_voxels: int) -> float:
    """Cost of one network evaluation relative to the reference network."""
    voxels = num_voxels / REFERENCE_VOXELS
    unpatched = 8 if config.network.patch == 1 else 1
    return voxels * (config.network.width / REFERENCE_WIDTH) ** 2 * unpatched


def _num_steps(config: CampaignConfig, rounds: int) -> int:
    """Number of training steps of the first ``rounds`` trainings."""
    return sum(_num_steps_of(config, round) for round in range(1, rounds + 1))


def _num_steps_of(config: CampaignConfig, round: int) -> int:
    is_first = round == 1 and config.model is None
    return config.training.num_steps if is_first else config.training.retrain_steps


def _evaluations(config: CampaignConfig) -> int:
    """Number of network evaluations for one candidate."""
    sampling = config.sampling
    guided = 2 if sampling.guidance not in (0.0, 1.0) else 1
    resamples = sampling.resamples if config.diffusion.inpainting == "repaint" else 1
    return sampling.num_steps * EVALUATIONS_PER_STEP[sampling.solver] * guided * resamples


def _md_s(md: MolecularDynamicsConfig) -> float:
    """Mean time of one annealing, for a log-uniform number of steps."""
    fewest, most = md.num_steps
    mean = fewest if most == fewest else (most - fewest) / math.log(most / fewest)
    return mean * MD_STEP_S


def wall_h(stage: StageEstimate, site: SiteConfig) -> float | None:
    """Wall time of a stage on a resolved site, hours; None for GPUs, whose speed is unknown."""
    pool: PoolConfig = getattr(site, pool_of(stage.stage, site.mode))
    is_launched = STAGES[stage.stage].launcher is not None and site.mode == "barrier"
    if pool.gpus_per_node:
        return None
    at_once = pool.num_workers if is_launched else min(pool.num_workers, max(1, stage.num_tasks))
    return stage.core_h / at_once


def expected_s(
    config: CampaignConfig, site: SiteConfig, plan: Plan, num_atoms: int, num_voxels: int
) -> dict[Stage, float]:
    """Expected wall time of each stage over all rounds, s.

    It is empty if the stages overlap, or if one of them runs on GPUs, whose speed is unknown.
    """
    if plan.mode == "asynchronous":
        return {}
    return expected_s_of(estimate(config, plan, num_atoms, num_voxels), site)


def expected_s_of(stages: Sequence[StageEstimate], site: SiteConfig) -> dict[Stage, float]:
    """Expected wall time of each stage over all rounds, s; empty if one runs on GPUs."""
    hours = {one.stage: wall_h(one, site) for one in stages}
    known = {stage: 3600 * stage_h for stage, stage_h in hours.items() if stage_h is not None}
    return known if len(known) == len(hours) else {}


def remaining_s(
    config: CampaignConfig, state: State, fraction: float, elapsed_s: float
) -> float | None:
    """Time to the end of a campaign that uses its whole budget, s; None while unknown.

    The expected time of what is left is scaled by the ratio of elapsed to expected time of what is
    done, which accounts for the speed of this machine and of this potential.

    Args:
        fraction: part of the first incomplete phase that is done.
    """
    expected = expected_of(state)
    if expected is None:
        return None
    phases = list(state.plan.phases())
    num_phases = Counter(stage for stage, _ in phases)
    num_steps = _num_steps(config, num_phases["train"])
    done_s = left_s = 0.0
    for stage, round in phases:
        # The first training is longer than those that follow.
        share = (
            _num_steps_of(config, round) / num_steps if stage == "train" else 1 / num_phases[stage]
        )
        if state.is_complete(stage, round):
            done_s += share * expected[stage]
        else:
            done_s += fraction * share * expected[stage]
            left_s += (1 - fraction) * share * expected[stage]
            fraction = 0.0
    if done_s <= ENOUGH_DONE * (done_s + left_s):
        return None
    return within_limit(state, left_s * elapsed_s / done_s, elapsed_s)


def expected_of(state: State) -> Mapping[Stage, float] | None:
    """Expected wall time of each stage that the session states, s; None if one is not known."""
    expected = state.account.sessions[-1].expected_s if state.account.sessions else {}
    return expected if all(stage in expected for stage, _ in state.plan.phases()) else None


def within_limit(state: State, remaining_s: float, elapsed_s: float) -> float:
    """Remaining time, s, no longer than the campaign's wall time allows."""
    limit_s = state.plan.wall_time_s
    return remaining_s if limit_s is None else min(remaining_s, max(0.0, limit_s - elapsed_s))


def total_core_h(stages: Sequence[StageEstimate]) -> float:
    """Total core-hours of all stages."""
    return sum(stage.core_h for stage in stages)
