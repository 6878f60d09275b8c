"""Who gets the next core-second: sources of tries share the budget by what they brought.

A source is a kind of move, of the model's in-paintings, or fresh tries. Costs are counted in a unit
that does not depend on the machine, such as force evaluations times atoms. All sums are exactly
rounded, so that the same rows give the same bits in whatever order they were read.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from gcd_hpc.search.archive import Archive

PRIOR_TRIES = 10.0
"""Tries of the mean success and cost that every source is credited with beforehand.

A source without tries so begins with the mean success, and one lucky try does not decide.
"""


@dataclass(frozen=True)
class Outcome:
    """What the tries of one source brought in one generation.

    credit: sum of the credits of its structures.
    cost: of all its tries, failed ones too, in units that do not depend on the machine.
    num_tries: number of them.
    """

    credit: float
    cost: float
    num_tries: int


def credits(
    archive: Archive, entered: Collection[str], sources: Mapping[str, str]
) -> dict[str, float]:
    """Credit of each source for the structures by which a generation improved the archive.

    A structure is worth 1 / (1 + its rank among those of its [n], from 0), so a new lowest one 1.

    Args:
        archive: after the generation.
        entered: ids of the structures that are new in it.
        sources: source of each row of the generation, by id.
    """
    earned: dict[str, list[float]] = {source: [] for source in sorted(set(sources.values()))}
    for members in archive.values():
        for rank, row in enumerate(members):
            if row in entered and row in sources:
                earned[sources[row]].append(1.0 / (1.0 + rank))
    return {source: fsum(values) for source, values in earned.items()}


def shares(
    history: Sequence[Mapping[str, Outcome]], least: Mapping[str, float], discount: float
) -> dict[str, float]:
    """Probability with which the next try is one of each source; equal costs without history.

    Each source gets its least share of the cost, and the rest is divided in proportion to credit
    per cost. Of two sources with the same share, that with the dearer tries is drawn less often.

    Args:
        history: outcomes by source of each generation, oldest first.
        least: share of the cost below which a source does not fall, of each that can make a try
            now. If they exceed 1 together, all are reduced by the same factor.
        discount: weight of a generation relative to the one after it.

    Returns:
        Probabilities by source in alphabetical order; they sum to 1.
    """
    names = sorted(least)
    if not names:
        return {}
    weights = [discount ** (len(history) - 1 - age) for age in range(len(history))]

    def total(quantity: str, sources: Collection[str]) -> float:
        return fsum(
            weight * getattr(generation[source], quantity)
            for weight, generation in zip(weights, history, strict=True)
            for source in sources
            if source in generation
        )

    # Success and cost of an average try; without any, all sources count as equal.
    num_tries = total("num_tries", names)
    mean_credit = total("credit", names) / num_tries if num_tries > 0 else 0.0
    mean_cost = total("cost", names) / num_tries if num_tries > 0 else 0.0
    mean_cost = mean_cost if mean_cost > 0 else 1.0
    rates, costs = [], []
    for name in names:
        tries = total("num_tries", [name]) + PRIOR_TRIES
        cost = total("cost", [name]) + PRIOR_TRIES * mean_cost
        rates.append((total("credit", [name]) + PRIOR_TRIES * mean_credit) / cost)
        costs.append(cost / tries)
    # Shares of the cost, then frequencies of the tries.
    reduced = max(1.0, fsum(least.values()))
    floors = [least[name] / reduced for name in names]
    rest = 1.0 - fsum(floors)
    successful = fsum(rates)
    parts = [rate / successful if successful > 0 else 1.0 / len(names) for rate in rates]
    share = [floor + rest * part for floor, part in zip(floors, parts, strict=True)]
    frequencies = [one / cost for one, cost in zip(share, costs, strict=True)]
    whole = fsum(frequencies)
    return {name: one / whole for name, one in zip(names, frequencies, strict=True)}
