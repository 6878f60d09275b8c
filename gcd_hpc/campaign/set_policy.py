"""Policy of a set, pure functions: which boundary is explored next, and when the model is trained.

Boundaries whose search has not ended come first. The others share the workers: each has an equal
share of ``FLOOR`` of all core-seconds, and the rest is divided in proportion to the discounted
gain per cost of its generations. The boundary that is furthest behind its share comes next. What
is computed does not depend on this order, but which boundaries get far within a wall time does.

The model that the boundaries share is trained when all of those that go on have selected their
training sets.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import fsum

from gcd_hpc.campaign.actions import Action, Submit
from gcd_hpc.campaign.events import Event, Failed, Finished, Opened
from gcd_hpc.campaign.limits import out_of_time
from gcd_hpc.campaign.patience import gains
from gcd_hpc.campaign.policy import again
from gcd_hpc.campaign.state import State
from gcd_hpc.stages.table import EXPLORE, SEARCH, Task, phase_order

FLOOR = 0.2
"""Part of all core-seconds that is divided equally, whatever was gained."""
DISCOUNT = 0.8
"""Weight of a generation's gain and cost relative to those of the one after it."""


@dataclass(frozen=True)
class Standing:
    """What one boundary has found and spent so far."""

    is_begun: bool
    """True once its search has ended."""
    gains_j_m2: Sequence[float] = ()
    """Noticeable decrease of the lowest energies by each generation, summed over [n], J/m^2."""
    costs_s: Sequence[float] = ()
    """Core-seconds of each of these generations."""
    spent_s: float = 0.0
    """Core-seconds of all tasks."""

    @classmethod
    def of(cls, state: State) -> "Standing":
        """Standing of a run from its state."""
        plan = state.plan
        num_done = {
            round: num // max(1, plan.num_explore_chunks)
            for (stage, round), num in sorted(state.num_done.items())
            if stage == EXPLORE
        }
        costs: dict[tuple[int, int], list[float]] = {}
        for task, done in state.finished.items():
            if task.stage == EXPLORE:
                costs.setdefault((task.round, plan.generation(task)), []).append(done.core_s)
        ended = [(round, one) for round, num in num_done.items() for one in range(num)]
        return cls(
            state.is_complete(SEARCH, 0),
            tuple(
                gain for round, num in num_done.items() for gain in gains(state.found, round, num)
            ),
            tuple(fsum(costs.get(one, ())) for one in ended),
            fsum(done.core_s for done in state.finished.values()),
        )

    @cached_property
    def rate(self) -> float:
        """Discounted gain per discounted cost of all generations, J/m^2 per core-second."""
        weights = [DISCOUNT**age for age in reversed(range(len(self.costs_s)))]
        cost = fsum(one * weight for one, weight in zip(self.costs_s, weights, strict=True))
        gain = fsum(one * weight for one, weight in zip(self.gains_j_m2, weights, strict=True))
        return gain / cost if cost > 0 else 0.0


def shares(standings: Mapping[str, Standing]) -> dict[str, float]:
    """Share of all core-seconds that each boundary has a claim to; they sum to 1."""
    rates = {name: one.rate for name, one in standings.items()}
    total, equal = fsum(rates.values()), 1.0 / len(rates)
    if total <= 0:
        return dict.fromkeys(rates, equal)
    return {name: FLOOR * equal + (1 - FLOOR) * rate / total for name, rate in rates.items()}


def order(standings: Mapping[str, Standing]) -> list[str]:
    """Names of the boundaries, the one whose task comes next first.

    Args:
        standings: by name, in the order of the set's file, which decides between equals.
    """
    if not standings:
        return []
    claims = shares(standings)
    places = {name: place for place, name in enumerate(standings)}

    def key(name: str) -> tuple[bool, float, int]:
        one = standings[name]
        behind = one.spent_s / claims[name] if one.is_begun else 0.0
        return one.is_begun, behind, places[name]

    return sorted(standings, key=key)


def model_step(own: State, event: Event | None) -> list[Action]:
    """Actions on the shared model that follow from an event of the set's own ledger.

    They repair what was lost, and promote the newest model. ``next_training`` begins the others.
    """
    if isinstance(event, Failed):
        return again(own, event)
    if not isinstance(event, Opened | Finished):
        return []
    wanted = [Task("promote", _newest(own))] if _newest(own) else []
    if own.lost:
        wanted = [min(own.lost, key=lambda task: phase_order(task.phase))]
    known = own.finished.keys() | own.submitted.keys()
    return [Submit(task) for task in wanted if task not in known]


def next_training(own: State, held: Collection[Task | None]) -> Task | None:
    """Training that can begin, because all boundaries that go on wait for it; None if there is
    none.

    Args:
        own: state that the set's own ledger gives.
        held: of each of these boundaries the task that waits for the set; None if it is at work.
    """
    newest = _newest(own)
    task = Task("train", newest + 1)
    is_free = task not in own.submitted and (not newest or Task("promote", newest) in own.finished)
    is_due = bool(held) and all(one == task for one in held)
    return task if is_free and is_due and not out_of_time(own) else None


def _newest(own: State) -> int:
    """Newest version that was trained; 0 if there is none."""
    return max((task.round for task in own.finished if task.stage == "train"), default=0)
