"""Comparison of runs: lowest energies of each [n], cost, and which source found what."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gcd_hpc.accounts.sources import sources_of
from gcd_hpc.browse.campaign_figures import Finds, finds
from gcd_hpc.browse.compare_materials import (
    MaterialComparison,
    compare_materials,
    material_comparison_view,
)
from gcd_hpc.browse.tables import UNIT, format_fraction, format_number
from gcd_hpc.campaign.ledger import read_state
from gcd_hpc.campaign.table import new_table
from gcd_hpc.errors import StoreError
from gcd_hpc.stages.merit import NOTICEABLE_J_M2
from gcd_hpc.store.alike import difference
from gcd_hpc.store.makers import Group, by_maker
from gcd_hpc.store.run import Run, open_run
from gcd_hpc.structures.energetics import lowest_energies


@dataclass(frozen=True)
class Compared:
    """What one run found and cost.

    Energies are in J/m^2; core-seconds are processor time.
    """

    run: str
    tries: int
    core_s: float
    gb_energy_j_m2: float
    """Lowest energy; NaN if nothing was relaxed yet."""
    n_fraction: float
    """[n] of the lowest energy."""
    core_s_until: float
    """Core-seconds of the whole run until a structure noticeably near its lowest energy."""
    per_n: Mapping[float, tuple[float, str]]
    """Lowest energy of each [n], and the source that first came noticeably near it."""
    core_s_of: Mapping[Group, float]
    """Core-seconds of the search, the exploration and the models with their training."""


@dataclass(frozen=True)
class Comparison:
    """Runs side by side."""

    runs: tuple[Compared, ...]
    problem: str
    """Why the energies cannot be compared; empty if they can."""
    finds: Mapping[str, Finds]
    """Candidates of each run in the order of their making; of runs that relaxed any."""

    @property
    def lowest(self) -> dict[float, float]:
        """Lowest energy of each [n] among all runs, J/m^2, in ascending order of [n]."""
        pairs = [(n, energy) for run in self.runs for n, (energy, _) in run.per_n.items()]
        ascending = sorted(pairs, key=lambda pair: (pair[0], -pair[1]))
        return dict(ascending)

    def num_lowest(self, run: Compared) -> int:
        """Number of [n] at which a run is noticeably as low as the lowest of all runs."""
        return sum(self.is_lowest(n, energy) for n, (energy, _) in run.per_n.items())

    def is_lowest(self, n_fraction: float, energy: float) -> bool:
        """Whether an energy is noticeably as low as the lowest of its [n]."""
        return energy <= self.lowest[n_fraction] + NOTICEABLE_J_M2

    def record(self) -> dict[str, Any]:
        """Plain data; energies of different boundaries or potentials are left side by side."""
        runs = []
        for run in self.runs:
            record = asdict(run)
            record["per_n"] = [
                {"n_fraction": n, "gb_energy_j_m2": energy, "source": source}
                for n, (energy, source) in run.per_n.items()
            ]
            record["num_lowest"] = None if self.problem else self.num_lowest(run)
            runs.append(record)
        return {"is_comparable": not self.problem, "problem": self.problem, "runs": runs}


def compare(*runs: str | Path) -> Comparison | MaterialComparison:
    """Compare runs or files of results, also of campaigns at work.

    Raises:
        StoreError: if there are fewer than two runs, if one of them cannot be read, or if some are
            of a boundary and others of a material.
    """
    paths = [Path(run) for run in runs]
    if len(paths) < 2:
        raise StoreError("compare: one run has nothing to be compared with; name two or more")
    opened = dict(zip(_names(paths), map(open_run, paths), strict=True))
    materials = [name for name, run in opened.items() if run.is_material]
    if materials:
        others = [name for name in opened if name not in materials]
        if others:
            raise StoreError(
                f"compare: {materials[0]} is of a material and {others[0]} of a boundary; compare"
                " runs of one kind"
            )
        return compare_materials(opened)
    found = {name: finds(run) for name, run in opened.items() if len(run.relaxed())}
    compared = tuple(_compared(name, run, found.get(name)) for name, run in opened.items())
    # A run without relaxed candidates is of no potential yet.
    known = [(name, run) for name, run in opened.items() if name in found]
    problems = (
        f"{mine[0]} and {theirs[0]}: {why}"
        for mine, theirs in combinations(known, 2)
        if (why := difference(mine[1], theirs[1]))
    )
    return Comparison(compared, next(problems, ""), found)


def _names(paths: Sequence[Path]) -> list[str]:
    """Short names of runs: of their folders if these differ, else the paths."""
    short = [path.resolve().name for path in paths]
    return short if len(set(short)) == len(short) else [str(path) for path in paths]


def _compared(name: str, run: Run, found: Finds | None) -> Compared:
    sources = sources_of(run, read_state(run.path) if run.path.is_dir() else None)
    costs: dict[Group, float] = {}
    for one in sources:
        costs[one.group] = costs.get(one.group, 0.0) + one.core_s
    tries, core_s = sum(one.tries for one in sources), sum(one.core_s for one in sources)
    if found is None:
        return Compared(name, tries, core_s, nan, nan, nan, {}, costs)
    lowest = lowest_energies(found.exact_n, found.energy)
    per_n = {n: (energy, found.first_near(n, energy)) for n, energy in lowest.items()}
    n_fraction = min(lowest, key=lambda n: lowest[n])
    near = np.flatnonzero(found.energy <= lowest[n_fraction] + NOTICEABLE_J_M2)
    until = float(found.core_s[near[0]])
    return Compared(name, tries, core_s, lowest[n_fraction], n_fraction, until, per_n, costs)


def comparison_view(found: Comparison | MaterialComparison) -> RenderableType:
    """Tables for the terminal: one row per run, and the lowest energies of each [n]."""
    if isinstance(found, MaterialComparison):
        return material_comparison_view(found)
    table = new_table()
    headings = ["tries", "core s", f"lowest ({UNIT})", "at [n]", "core s until", "lowest of [n]"]
    table.add_column("run")
    for heading in headings:
        table.add_column(Text(heading), justify="right")
    table.add_column(Text("which source found its lowest"))
    for run in found.runs:
        num = "-" if found.problem else f"{found.num_lowest(run)} of {len(found.lowest)}"
        cells = (
            run.run,
            f"{run.tries:,}",
            f"{run.core_s:,.1f}",
            format_number(run.gb_energy_j_m2, 4),
            format_fraction(run.n_fraction) if run.per_n else "-",
            format_number(run.core_s_until, 1),
            num,
            _sources(run),
        )
        table.add_row(*map(Text, cells))
    if found.problem:
        note = (
            f"Energies are not compared: {found.problem}. Cost and sources are. gcd-hpc overview"
            " puts boundaries of one potential side by side; gcd-hpc rescore relaxes the structures"
            " of a run with another potential."
        )
        return Lines(table, Text(), Text(note))
    return Lines(table, Text(), _hulls(found), Text(ABOUT))


ABOUT = (
    f"* lowest of all runs, or within {1000 * NOTICEABLE_J_M2:g} mJ/m^2 of it. Core s until: work"
    " until a structure as near to the run's own lowest energy."
)


def _sources(run: Compared) -> str:
    """Number of [n] whose lowest structure each source found, such as ``search 7, insert 2``."""
    counts = Counter(source for _, source in run.per_n.values())
    return ", ".join(f"{source} {counts[source]}" for source in sorted(counts, key=by_maker))


def _hulls(found: Comparison) -> Table:
    table = new_table()
    table.add_column(Text("[n]"), justify="right")
    for run in found.runs:
        table.add_column(Text(f"{run.run} ({UNIT})"), justify="right")
        table.add_column(Text("source"))
    for n_fraction in found.lowest:
        cells = [Text(format_fraction(n_fraction))]
        for run in found.runs:
            energy, source = run.per_n.get(n_fraction, (nan, "-"))
            is_lowest = n_fraction in run.per_n and found.is_lowest(n_fraction, energy)
            text = format_number(energy, 4) + ("*" if is_lowest else " ")
            cells += [Text(text, style="bold" if is_lowest else ""), Text(source)]
        table.add_row(*cells)
    return table
