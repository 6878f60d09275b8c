"""What each source of candidates cost and found: the search, each kind of move, each model."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from gcd_hpc.campaign.state import State
from gcd_hpc.config.learning import SelectionConfig
from gcd_hpc.stages.merit import NOTICEABLE_J_M2
from gcd_hpc.stages.table import EXPLORE, SAMPLES, SEARCH
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.makers import (
    MAKER_FIELDS,
    Group,
    by_maker,
    group_of,
    maker_name,
)
from gcd_hpc.store.numbering import distinct
from gcd_hpc.store.provenance import section_of
from gcd_hpc.store.run import Run
from gcd_hpc.structures.energetics import SAME_ENERGY_J_M2, lowest_of_each

_RELAXED = ("n_index", "n_fraction", "gb_energy_j_m2")
COST_FIELDS = ("source", "round", "cpu_s", "relax_s", "sample_s")
TRAINING = ("select", "train", "promote")
"""Stages that make a model and no candidate."""
SOURCES = (SEARCH, "model", EXPLORE)
"""Sources of the candidates of a round, in the order of their stages."""
SOURCE_OF = dict.fromkeys(SAMPLES, "model")
"""Source of the candidates of a stage that is not called after it."""


@dataclass(frozen=True)
class Spending:
    """Core-seconds (processor time) of a whole run, row by row in the order of their making."""

    order: np.ndarray
    """Numbers of the rows in this order, (M,)."""
    round: np.ndarray
    """Round of each row, 0 for the search and the first exploration, (M,)."""
    core_s: np.ndarray
    """Core-seconds to make and relax each row, (M,)."""
    training_s: Mapping[int, float]
    """Core-seconds to make the model of each round; empty without a ledger."""

    @property
    def total_s(self) -> float:
        """Core-seconds of the whole run."""
        return float(self.core_s.sum()) + sum(self.training_s.values())

    def until(self) -> np.ndarray:
        """Core-seconds of the whole run when each row was done, (M,); a model precedes its rows."""
        spent = self.core_s.copy()
        for round, seconds in self.training_s.items():
            later = np.flatnonzero(self.round >= round)
            if len(later):
                spent[later[0]] += seconds
        return np.cumsum(spent)


@dataclass(frozen=True)
class SourceRecord:
    """Work and findings of one source."""

    source: str
    """``search``, a kind of move such as ``insert``, or ``model 01``."""
    group: Group
    tries: int
    """Number of its candidates of every status."""
    core_s: float
    """Processor time to make and relax them, for a model with its training, s."""
    improvements: int
    """Number of times that it lowered the lowest energy known at an [n], or was the first there."""
    unique_low: int
    """Number of unique structures near the lowest of their [n] (selection.energy_window_j_m2)."""
    lowest_of: tuple[float, ...]
    """The [n] whose lowest structure it found first."""


def spending_of(run: Run, state: State | None) -> Spending:
    """Core-seconds of each row of a whole run.

    The core-seconds of the search, of each model's candidates and of each exploration, from the
    ledger, are shared among their rows in proportion to the rows' own times. Without a ledger these
    times are all that is known. Rows are in the order of their rounds, and in a round the search
    comes before the model and the model before the exploration; stages that overlapped
    (asynchronous mode) are put one after the other.
    """
    columns = run.columns(COST_FIELDS)
    rounds = np.where(columns["source"] == "search", 0, columns["round"]).astype(int)
    places = np.select([columns["source"] == source for source in SOURCES], range(len(SOURCES)))
    order = np.lexsort([places, rounds])
    relaxing = np.where(np.isfinite(columns["cpu_s"]), columns["cpu_s"], columns["relax_s"])
    seconds = np.nan_to_num(relaxing) + np.nan_to_num(columns["sample_s"])
    making, training = _by_phase(state)
    for (round, source), total in making.items():
        mine = (rounds == round) & (columns["source"] == source)
        known = float(seconds[mine].sum())
        if known > 0:
            seconds[mine] *= total / known
        elif mine.any():
            seconds[mine] = total / int(mine.sum())
    return Spending(order, rounds[order], seconds[order], training)


def _by_phase(state: State | None) -> tuple[dict[tuple[int, str], float], dict[int, float]]:
    """Core-seconds by round and source, and core-seconds of training by round."""
    making: dict[tuple[int, str], float] = defaultdict(float)
    training: dict[int, float] = defaultdict(float)
    for task, done in state.finished.items() if state is not None else ():
        if task.stage in TRAINING:
            training[task.round] += done.core_s
        else:
            making[task.round, SOURCE_OF.get(task.stage, task.stage)] += done.core_s
    return dict(making), dict(training)


def sources_of(run: Run, state: State | None, relaxed: Run | None = None) -> list[SourceRecord]:
    """Work and findings of each source of a whole run: the search, the moves, the models.

    Args:
        state: state that the run's ledger gives, or None for the times of the rows alone.
        relaxed: ``run.relaxed()``, if it is known already.
    """
    spending = spending_of(run, state)
    every = run[spending.order]
    columns = every.columns([*MAKER_FIELDS, "n_index", "n_fraction", "gb_energy_j_m2"])
    makers, places = distinct(columns, MAKER_FIELDS)
    records: dict[str, SourceRecord] = {}
    for maker in makers:
        name = maker_name(*maker)
        records[name] = SourceRecord(name, group_of(*maker), 0, 0.0, 0, 0, ())
    order = list(records)
    numbers = np.array([order.index(maker_name(*maker)) for maker in makers], dtype=np.int64)
    source = numbers[places]
    """Place of each row's source in ``order``, (M,)."""
    tries = Counter(dict(zip(order, np.bincount(source).tolist(), strict=True)))
    costs = dict(zip(order, np.bincount(source, spending.core_s).tolist(), strict=True))
    for round, seconds in spending.training_s.items():
        # A model that was not promoted made nothing, but its training is paid for.
        name = maker_name("model", round, "")
        records.setdefault(name, SourceRecord(name, "model", 0, 0.0, 0, 0, ()))
        costs[name] = costs.get(name, 0.0) + seconds
    relaxed = run.relaxed() if relaxed is None else relaxed
    is_relaxed = _is_among(every.numbers, relaxed.numbers, run.num_all)
    found = {name: columns[name][is_relaxed] for name in _RELAXED}
    found_by = np.array(order, dtype=object)[source[is_relaxed]]
    improvements = Counter(found_by[improves(found)].tolist())
    unique = _unique_low(found, found_by, run)
    lowest = _lowest_of(found, found_by)
    return [
        replace(
            records[name],
            tries=tries[name],
            core_s=costs[name],
            improvements=improvements[name],
            unique_low=unique[name],
            lowest_of=tuple(lowest[name]),
        )
        for name in sorted(records, key=by_maker)
    ]


def _is_among(numbers: np.ndarray, others: np.ndarray, total: int) -> np.ndarray:
    """Mask (M,) of the row numbers, of ``total``, that occur among others."""
    mask = np.zeros(total, dtype=bool)
    mask[others] = True
    return np.asarray(mask[numbers])


def improves(relaxed: Columns) -> np.ndarray:
    """Mask (M,) of the rows that lie noticeably below all earlier ones of their [n]."""
    found = np.zeros(len(relaxed["n_index"]), dtype=bool)
    for n_index in np.unique(relaxed["n_index"]).tolist():
        here = np.flatnonzero(relaxed["n_index"] == n_index)
        energies = relaxed["gb_energy_j_m2"][here]
        before = np.concatenate([[np.inf], np.minimum.accumulate(energies)[:-1]])
        found[here] = energies < before - NOTICEABLE_J_M2
    return found


def _unique_low(relaxed: Columns, found_by: np.ndarray, run: Run) -> Counter[str]:
    """Number of unique low-energy structures by source.

    Structures are unique if [n] or the energy, rounded to SAME_ENERGY_J_M2, differs.
    """
    window = section_of(run.provenance.get("config", ""), "selection").get("energy_window_j_m2")
    if not isinstance(window, int | float):
        window = SelectionConfig().energy_window_j_m2
    indices, energies = relaxed["n_index"], relaxed["gb_energy_j_m2"]
    _, lowest, group = lowest_of_each(indices, energies)
    is_low = energies <= lowest[group] + window
    with np.errstate(over="ignore"):  # energies of damaged files may be huge
        steps = np.rint(energies[is_low] / SAME_ENERGY_J_M2)
    low = {"found_by": found_by[is_low], "n_index": indices[is_low]}
    kinds, kind = distinct(low, list(low))
    order = np.lexsort([steps, kind])
    steps, kind = steps[order], kind[order]
    is_new = np.ones(len(kind), dtype=bool)
    is_new[1:] = (steps[1:] != steps[:-1]) | (kind[1:] != kind[:-1])
    unique: Counter[str] = Counter()
    for (name, _), num in zip(kinds, np.bincount(kind[is_new]).tolist(), strict=True):
        unique[name] += num
    return unique


def _lowest_of(relaxed: Columns, found_by: np.ndarray) -> dict[str, list[float]]:
    """The [n] by the source that first came noticeably near their lowest energy."""
    indices, energies = relaxed["n_index"], relaxed["gb_energy_j_m2"]
    _, lowest, group = lowest_of_each(indices, energies)
    near = np.flatnonzero(energies <= lowest[group] + NOTICEABLE_J_M2)
    _, first = np.unique(group[near], return_index=True)
    held: dict[str, list[float]] = defaultdict(list)
    for row in near[first].tolist():
        held[found_by[row]].append(float(relaxed["n_fraction"][row]))
    return held
