"""Expected cost of the campaign of a material, and the time that is left of one."""

from collections import Counter, defaultdict

from gcd_hpc.campaign.estimate import (
    BYTES_PER_ATOM,
    ENOUGH_DONE,
    StageEstimate,
    expected_of,
    within_limit,
)
from gcd_hpc.campaign.state import State
from gcd_hpc.config.material import MaterialConfig
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.table import LABEL, QUENCH, STAGES, Stage, is_launched

# One core of an AMD EPYC (Zen 4).
MD_S = 5e-6
"""Time of one step of molecular dynamics with Tersoff's potential, for each atom."""
MINIMISATION_STEPS = 2_000
"""Force evaluations of one relaxation."""
SPECTRUM_S = 3.2
"""Time of the spectrum of one atom of amorphous carbon by FEFF10, with all its shells."""
EVALUATION_S = 4e-5
"""Time of one evaluation of a network of width 48, for each atom."""
PER_TRAINING_STEP = 4
"""Evaluations that a training step takes as long as, its gradients included."""
PER_GUIDED_STEP = 1 + PER_TRAINING_STEP
"""Evaluations that a guided step of sampling takes as long as."""
WIDTH = 48


def material_estimate(config: MaterialConfig, plan: Plan) -> list[StageEstimate]:
    """Rough cost of every stage; given structures count as one for each of their tasks."""
    num = Counter(stage for stage, _ in plan.phases())
    atoms, sampling = config.material.num_atoms, config.sampling
    own = 0 if config.quench is None else config.quench.num
    given = 0 if config.structures is None else config.structures.num_tasks
    first, samples = own + given, sampling.num
    relax_s = atoms * MINIMISATION_STEPS * MD_S
    fit_steps, fit_s = _training(config)
    steps = sampling.num_steps * (1 + sampling.num_restarts)
    evaluations = sampling.num_guided * PER_GUIDED_STEP + sampling.num_unguided
    labelling = config.labelling
    # Stage: number of items and core-seconds of one phase.
    figures: dict[Stage, tuple[int, float]] = {
        QUENCH: (first, own * _quench_s(config) + first * relax_s),
        LABEL: (first, first * labelling.atoms_per_structure * SPECTRUM_S),
        "gather": (1, 1.0),
        "fit": (fit_steps, fit_s),
        "guide": (samples, steps * evaluations * atoms * EVALUATION_S),
        "settle": (samples, samples * relax_s),
        "verify": (samples, samples * labelling.atoms_per_candidate * SPECTRUM_S),
    }
    kept = (QUENCH, "guide", "settle", "verify")
    return [
        StageEstimate(
            stage,
            num[stage] * plan.num_tasks(stage),
            num[stage] * items,
            "structures" if STAGES[stage].unit == "tasks" else STAGES[stage].unit,
            num[stage] * seconds / 3600,
            num[stage] * items * atoms * BYTES_PER_ATOM if stage in kept else 0.0,
        )
        for stage, (items, seconds) in figures.items()
        if num[stage]
    ]


def _quench_s(config: MaterialConfig) -> float:
    """Time of the dynamics of one quench."""
    quench = config.quench
    assert quench is not None
    steps = quench.liquid_steps + quench.quench_steps + quench.hold_steps
    return steps * config.material.num_atoms * MD_S


def _training(config: MaterialConfig) -> tuple[int, float]:
    """Number of training steps of a round, and their time."""
    prior, network = config.prior, config.property_network
    property_steps = network.num_steps * (1 + network.num_folds)
    sizes = (
        prior.num_steps * prior.batch_size * prior.width**2 + property_steps * network.width**2
    ) / WIDTH**2
    seconds = sizes * config.material.num_atoms * EVALUATION_S * PER_TRAINING_STEP
    return prior.num_steps + property_steps, seconds


def remaining_material_s(state: State, fraction: float, elapsed_s: float) -> float | None:
    """Time to the end of a campaign that uses its whole budget, s; None while unknown.

    A stage of which tasks have ended takes as long as they did. That of the others is the expected
    one, scaled by the ratio of measured to expected time of these stages.

    Args:
        fraction: part of the first incomplete phase that is done.
    """
    expected = expected_of(state)
    if expected is None:
        return None
    phases = list(state.plan.phases())
    num, measured = Counter(stage for stage, _ in phases), _measured_s(state)
    known_s = unknown_s = 0.0
    for stage, round in phases:
        if state.is_complete(stage, round):
            continue
        if stage in measured:
            known_s += (1 - fraction) * measured[stage]
        else:
            unknown_s += (1 - fraction) * expected[stage] / num[stage]
        fraction = 0.0
    foreseen_s = sum(expected[stage] / num[stage] for stage in measured)
    # The start of the workers is most of the time of a short task, and no measure of longer ones.
    if unknown_s and foreseen_s <= ENOUGH_DONE * sum(expected.values()):
        return None
    scale = sum(measured.values()) / foreseen_s if unknown_s else 0.0
    return within_limit(state, known_s + scale * unknown_s, elapsed_s)


def _measured_s(state: State) -> dict[Stage, float]:
    """Wall time of one phase of each stage of which tasks have ended, s."""
    seconds: dict[Stage, list[float]] = defaultdict(list)
    for task, done in state.finished.items():
        seconds[task.stage].append(done.seconds)
    plan, found = state.plan, {}
    for stage, each in seconds.items():
        num_tasks = plan.num_tasks(stage)
        is_alone = is_launched(stage, plan.mode)
        at_once = 1 if is_alone else max(1, min(num_tasks, plan.relaxation_workers))
        found[stage] = sum(each) / len(each) * num_tasks / at_once
    return found
