"""Runs until a target, as lines of a file, and the tables of them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf, isfinite
from pathlib import Path

import numpy as np
import yaml

from gcd_hpc.campaign.draft import ANNEALED_SHARE, LEAST_ANNEAL_SHARE, NUM_TRIES
from gcd_hpc.experiments.statistics import wilson
from gcd_hpc.files import replacing
from gcd_hpc.seeds import generator

HERE = Path(__file__).parent
ANY = "any"
"""Key of a target that holds for the lowest energy of all [n]."""
METHODS: dict[str, dict[str, object]] = {
    "fresh": {"search.md.probability": 0, "search.num_tries": 10**6},
    "fresh-md": {"search.num_tries": 10**6},
    "fresh-cooled": {"search.num_tries": 10**6, "search.md.probability": 1},
    "moves": {"explore.generations": 10**4},
    "moves-cooled": {
        **{"search.num_tries": NUM_TRIES, "search.md.probability": ANNEALED_SHARE},
        **{"explore.generations": 10**4, "explore.anneal_share": LEAST_ANNEAL_SHARE},
    },
    "moves-model": {"budget.rounds": 1000},
}
"""Changes of the boundary's campaign file for each method."""
TOLERANCE_J_M2 = 0.002
"""How far above a target an energy still counts as the target."""
RIVALS = (("fresh-md", "moves-cooled"), ("fresh-cooled", "moves-cooled"), ("moves", "moves-model"))
"""Methods that are compared, the slow one first. Both of a pair ran on the same machine."""
NUM_RESAMPLED = 10_000
"""Number of bootstrap samples of each interval."""


@dataclass(frozen=True)
class Improvement:
    """A new lowest energy of one [n], and the core-seconds spent when its task ended."""

    core_s: float
    n_index: int
    energy_j_m2: float
    source: str


@dataclass(frozen=True)
class Run:
    """One search of one boundary, one line of the output file.

    Times until any target follow from ``improvements``, so that lower targets that become known
    later can be applied to old runs.
    """

    boundary: str
    method: str
    seed: int
    budget_s: float
    spent_s: float
    """Core-seconds when the run ended, at its targets or at the budget."""
    tries: int
    failed: int
    improvements: tuple[Improvement, ...]
    package_version: str
    git_commit: str
    campaign: str
    """The resolved campaign file, YAML."""

    def lowest(self) -> dict[int, float]:
        """Lowest energy of each n_index, J/m^2."""
        return {one.n_index: one.energy_j_m2 for one in self.improvements}

    def reached_s(self, target: str, energy_j_m2: float) -> float:
        """Core-seconds until a target was reached, infinite if the run ended before it."""
        times = [
            one.core_s
            for one in self.improvements
            if one.energy_j_m2 <= energy_j_m2 + TOLERANCE_J_M2 and target in (ANY, str(one.n_index))
        ]
        return min(times, default=inf)

    def line(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, line: str) -> "Run":
        values = json.loads(line)
        found = tuple(Improvement(**one) for one in values.pop("improvements"))
        return cls(**values, improvements=found)


def read_targets() -> dict[str, dict[str, float]]:
    """Lowest known energies by boundary, J/m^2: of each n_index, or of all together (``any``)."""
    boundaries = yaml.safe_load((HERE / "targets.yaml").read_text())
    return {
        name: {str(key): float(energy) for key, energy in targets.items()}
        for name, targets in boundaries.items()
    }


def read_runs(out: Path) -> list[Run]:
    """Runs in an output file; none if it does not exist."""
    return [Run.parse(line) for line in out.read_text().splitlines()] if out.exists() else []


def append(out: Path, one: Run) -> None:
    """Add a run to the output file, whole or not at all."""
    lines = out.read_text() if out.exists() else ""
    with replacing(out) as temporary:
        temporary.write_text(lines + one.line() + "\n")


def median(times: Iterable[float]) -> float:
    """Median of times, infinite if one of those in the middle is."""
    return float(np.median(list(times)))


def resampled_medians(times: Sequence[float], key: int) -> np.ndarray:
    """Medians (``NUM_RESAMPLED``,) of bootstrap samples; ``key`` names the random stream."""
    drawn = generator(0, key).choice(np.array(times), (NUM_RESAMPLED, len(times)))
    return np.asarray(np.median(drawn, axis=1))


def interval(values: np.ndarray) -> tuple[float, float]:
    """Limits between which 95 % of the values lie."""
    low, high = np.quantile(values, [0.025, 0.975], method="nearest")
    return float(low), float(high)


def ratio(slow: Sequence[float], fast: Sequence[float], limits: tuple[float, float]) -> str:
    """Ratio of two medians with its interval, as text.

    Censored times enter at their budget, ``limits``. A ratio is then a lower limit where the slow
    method is censored, and an upper limit where the fast one is.
    """
    slow_s = np.minimum(slow, limits[0])
    fast_s = np.minimum(fast, limits[1])
    value = median(slow_s) / median(fast_s)
    ratios = resampled_medians(list(slow_s), 1) / resampled_medians(list(fast_s), 2)
    low, high = interval(ratios)
    above, below = not isfinite(median(slow)), not isfinite(median(fast))
    sign = {(True, False): "> ", (False, True): "< ", (True, True): "? "}.get((above, below), "")
    return f"{sign}{value:.2g} ({low:.2g} to {high:.2g})"


@dataclass(frozen=True)
class Times:
    """Times of all seeds of one method until one target of one boundary."""

    times: tuple[float, ...]
    limit_s: float
    """Smallest budget of the runs."""

    @classmethod
    def of(cls, runs: Sequence[Run], targets: Mapping[str, float]) -> "Times":
        """Times until all of the targets are reached, counted up to the smallest budget.

        Raises:
            ValueError: if a run ended before its budget at targets that are not the lowest any
                more.
        """
        limit = min(run.budget_s for run in runs)
        times = [max(run.reached_s(*target) for target in targets.items()) for run in runs]
        for run, time in zip(runs, times, strict=True):
            if not isfinite(time) and run.spent_s < limit:
                raise ValueError(
                    f"{run.boundary} {run.method} seed {run.seed}: ended after {run.spent_s:.0f}"
                    " core-s at an earlier target; remove its line and the same command continues"
                    " it"
                )
        return cls(tuple(one if one <= limit else inf for one in times), limit)

    def text(self, seconds: float) -> str:
        return f"{seconds:.0f}" if isfinite(seconds) else f">{self.limit_s:.0f}"

    def successes(self) -> str:
        """Number of successes with Wilson's interval of their share."""
        hits = sum(map(isfinite, self.times))
        share = wilson(hits, len(self.times))
        return f"{hits} of {len(self.times)} ({share.low:.0%} to {share.high:.0%})"

    def median(self) -> str:
        """Median with the bootstrap interval."""
        low, high = interval(resampled_medians(self.times, 0))
        return f"{self.text(median(self.times))} ({self.text(low)} to {self.text(high)})"

    def all(self) -> str:
        return " ".join(self.text(one) for one in sorted(self.times))


def table(runs: Sequence[Run], targets: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Lines of the Markdown table, one for each boundary, target and method that was run."""
    yield (
        "| boundary | target, J/m^2 | method | reached | median, core-s | each seed, core-s |"
        " lowest, J/m^2 | tries a run |"
    )
    yield "|---|---|---|---|--:|---|--:|--:|"
    for boundary, method in sorted({(run.boundary, run.method) for run in runs}, key=_order):
        group = [run for run in runs if (run.boundary, run.method) == (boundary, method)]
        own = targets.get(boundary, {})
        best = min(one.energy_j_m2 for run in group for one in run.improvements)
        tries = np.median([run.tries for run in group])
        for label, some in _goals(own):
            times = Times.of(group, some) if some else None
            cells = (
                (times.successes(), times.median(), times.all()) if times else ("no target",) * 3
            )
            yield (
                f"| {boundary} | {label} | {method} | {' | '.join(cells)} | {best:.4f}"
                f" | {tries:.0f} |"
            )


def ratios(runs: Sequence[Run], targets: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Lines of the Markdown table of ratios of medians."""
    yield f"| boundary | target, J/m^2 | {' | '.join(' / '.join(pair) for pair in RIVALS)} |"
    yield f"|---|---|{'--:|' * len(RIVALS)}"
    for boundary, own in sorted(targets.items()):
        groups = {
            method: [run for run in runs if (run.boundary, run.method) == (boundary, method)]
            for method in METHODS
        }
        for label, some in _goals(own):
            times = {method: Times.of(group, some) for method, group in groups.items() if group}
            cells = []
            for rivals in RIVALS:
                pair = [times[method] for method in rivals if method in times]
                cells.append(
                    ratio(pair[0].times, pair[1].times, (pair[0].limit_s, pair[1].limit_s))
                    if len(pair) == 2
                    else "not measured"
                )
            if times:
                yield f"| {boundary} | {label} | {' | '.join(cells)} |"


def _order(key: tuple[str, str]) -> tuple[str, int]:
    return key[0], list(METHODS).index(key[1])


def _goals(targets: Mapping[str, float]) -> list[tuple[str, dict[str, float]]]:
    """Goals of a boundary: each target of one n_index, and all of them together."""
    if len(targets) == 1 or not targets:
        label = " ".join(f"{energy:.4f}" for energy in targets.values())
        return [(label or "not known", dict(targets))]
    each = [(f"{energy:.3f} at n_index {key}", {key: energy}) for key, energy in targets.items()]
    return [*each, ("all of them", dict(targets))]
