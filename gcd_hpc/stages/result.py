"""Result of a task, returned by every stage function and stored in the ledger."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from gcd_hpc.store.makers import maker_name
from gcd_hpc.store.schema import Candidate

Count = Annotated[int, Field(ge=0, le=10**9)]
Seconds = Annotated[float, Field(ge=0.0, le=1e11)]
"""Seconds, as durations or since the epoch, within the bounds of records and ledgers."""
Scored = tuple[int, float]
"""(n_index, energy in J/m^2) of one candidate."""


@dataclass(frozen=True)
class Tally:
    """Work and findings of one source in a task: the search, a model, or a kind of move."""

    num: Count
    """Number of its candidates."""
    cpu_s: Seconds
    """Processor time to make and relax them."""
    best: Mapping[int, float] = field(default_factory=dict)
    """Lowest value of each group, as ``StageResult.best`` has it."""


@dataclass(frozen=True)
class StageResult:
    """Counts, time and findings of one finished task.

    [n] is ``n_index`` / ``atoms_per_plane``, with the number of atoms in a plane.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False
    )

    num: Count = 0
    """Number of candidates that the task processed."""
    ok: Count = 0
    failed: Count = 0
    """Number of failed candidates, including quarantined ones."""
    invalid: Count = 0
    quarantined: Count = 0
    """Number of candidates that were set aside because of a bug."""
    seconds: Seconds = 0.0
    """Time that the stage measured itself."""
    atoms_per_plane: Count = 0
    """N_plane, the denominator of [n]; 0 if nothing is reported by [n]."""
    best: Mapping[int, float] = field(default_factory=dict)
    """Lowest relaxed E_gb by n_index, J/m^2. Of a material the lowest spectrum error by the number
    of the group in ``store.materials.GUIDED_ORDER``.
    """
    sources: Mapping[str, Tally] = field(default_factory=dict)
    """Work and findings of each source of the relaxed candidates."""
    low: tuple[Scored, ...] = ()
    """Relaxed candidates near the lowest energy of their [n], from which a model can learn."""
    queue: tuple[tuple[Scored, ...], ...] = ()
    """Scores of the candidates in each relaxation batch of a sampled chunk."""
    model: int | None = None
    """Model in use after a promotion."""
    promoted: bool | None = None
    reason: str = ""
    """Reason of a promotion verdict."""


def relaxed_result(
    candidates: Iterable[Candidate],
    atoms_per_plane: int,
    seconds: float,
    window_j_m2: float,
    lowest: Mapping[int, float],
) -> StageResult:
    """Result of a chunk of relaxed candidates.

    Args:
        atoms_per_plane: N_plane of the boundary.
        window_j_m2: candidates up to this far above the lowest of their [n] are listed in ``low``.
        lowest: lowest E_gb known, this chunk included, J/m^2 by n_index.
    """
    rows = list(candidates)
    counts = Counter(row.status for row in rows)
    low = [
        (row.n_index, round(row.gb_energy_j_m2, 4))
        for row in rows
        if row.status == "ok" and row.gb_energy_j_m2 <= lowest[row.n_index] + window_j_m2
    ]
    return StageResult(
        num=len(rows),
        ok=counts["ok"],
        failed=counts["failed"],
        invalid=counts["invalid"],
        quarantined=sum(row.failure == "bug" for row in rows),
        seconds=seconds,
        atoms_per_plane=atoms_per_plane,
        best=_lowest(rows),
        sources=tallies(rows, _lowest),
        low=tuple(low),
    )


def tallies(
    rows: Iterable[Candidate], best: Callable[[Iterable[Candidate]], dict[int, float]]
) -> dict[str, Tally]:
    """Work and findings of each source of relaxed candidates.

    Args:
        best: lowest value of each group among some rows, as ``StageResult.best`` has it.
    """
    groups: dict[str, list[Candidate]] = {}
    for row in rows:
        name = maker_name(row.source, row.version, row.move)
        groups.setdefault(name, []).append(row)
    return {
        source: Tally(
            len(group), sum(row.cpu_s for row in group if isfinite(row.cpu_s)), best(group)
        )
        for source, group in sorted(groups.items())
    }


def _lowest(rows: Iterable[Candidate]) -> dict[int, float]:
    """Lowest energy of each n_index among the relaxed rows, J/m^2."""
    best: dict[int, float] = {}
    for row in rows:
        if row.status == "ok":
            best[row.n_index] = min(best.get(row.n_index, inf), row.gb_energy_j_m2)
    return best
