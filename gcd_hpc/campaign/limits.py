"""Criteria that stop a campaign: pure functions of its state."""

from gcd_hpc.campaign.state import State

PLATEAU_J_M2 = 1e-4
"""Least decrease of the lowest energy that counts as progress; relaxation is no more precise."""
MIN_TRIED = 100
"""Least number of candidates that the quarantined share is computed from."""


def too_many_quarantined(state: State) -> str | None:
    """Reason to stop because more candidates were quarantined than allowed, or None."""
    sizes, most = state.plan.chunk_sizes, state.plan.max_quarantined
    num = state.num_quarantined + sum(sizes.get(task.stage, 0) for task in state.quarantined)
    if num <= most * max(state.num_tried, MIN_TRIED):
        return None
    return (
        f"{num} of {state.num_tried} candidates were set aside, more than budget.max_quarantined ="
        f" {most:g}; see gcd-hpc failures"
    )


def out_of_time(state: State) -> bool:
    """True if the wall time of the budget is used up."""
    return state.plan.wall_time_s is not None and state.elapsed_s >= state.plan.wall_time_s


def limit_of(state: State, round: int) -> str | None:
    """Reason to stop after a round (target or plateau), or None."""
    patience = state.plan.plateau_rounds
    if target_reached(state, round):
        return state.plan.merit.target
    if (
        patience
        and round >= patience
        and not any(_improved(state, recent) for recent in range(round - patience + 1, round + 1))
    ):
        return "plateau"
    return None


def target_reached(state: State, round: int) -> bool:
    """True if a candidate made up to ``round`` has a figure of merit as low as the target."""
    target = state.plan.target
    return target is not None and any(
        energy <= target
        for known in range(round + 1)
        for energy in state.best.get(known, {}).values()
    )


def _improved(state: State, round: int) -> bool:
    """True if a round found a lower energy at any [n] than everything before it."""
    before: dict[int, float] = {}
    for earlier in range(round):
        for n_index, energy in state.best.get(earlier, {}).items():
            before[n_index] = min(energy, before.get(n_index, energy))
    return any(
        energy < before.get(n_index, float("inf")) - PLATEAU_J_M2
        for n_index, energy in state.best.get(round, {}).items()
    )
