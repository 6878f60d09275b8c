"""Selection of the unique low-energy structures of every [n] for the next training set."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from gcd_hpc.config.campaign import SelectionConfig
from gcd_hpc.errors import StoreError
from gcd_hpc.learning.batches import fits
from gcd_hpc.learning.boundary import BoundarySystem, load_boundary_system
from gcd_hpc.learning.candidates import boundary_fingerprint
from gcd_hpc.stages.record import begin
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import Task
from gcd_hpc.store.parts import read_columns, read_part
from gcd_hpc.store.physics import row_fault
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.fingerprint import first_unique


def select(run_dir: str, version: int) -> StageResult:
    """Write the training set of model ``version`` from all structures relaxed before it.

    Raises:
        StoreError: if no structure lies in the energy window.
    """
    begun = begin(Task("select", version))
    folder, system = Path(run_dir), load_boundary_system(run_dir)
    chosen = choose(system, RunDirectory(folder).known_parts(version))
    if not chosen:
        raise StoreError(
            f"{run_dir}: no relaxed structure lies in the energy window of selection; search longer"
            " or widen the window"
        )
    result = StageResult(num=len(chosen), ok=len(chosen), seconds=begun.seconds())
    path = RunDirectory(folder).training_set(version)
    return begun.write(path, chosen, system.config, result)


def choose(system: BoundarySystem, parts: Iterable[Path]) -> list[Candidate]:
    """Lowest ``max_per_n`` unique structures of each [n] in the window, by [n] and energy."""
    selection, grid = system.config.selection, system.grid
    by_n: dict[int, list[Candidate]] = defaultdict(list)
    # Collect sound rows in the absolute window by [n].
    for path in parts:
        columns = read_columns([path], ["status", "gb_energy_j_m2"])
        worth = (columns["status"] == "ok") & in_absolute_window(
            columns["gb_energy_j_m2"], selection
        )
        for candidate in read_part(path, np.flatnonzero(worth).tolist()):
            if row_fault(vars(candidate), system.bicrystal.nearest_neighbor):
                continue
            by_n[candidate.n_index].append(candidate)
    chosen = []
    # Apply the relative window of each [n], and drop duplicates.
    for _, candidates in sorted(by_n.items()):
        ordered = sorted(
            (c for c in candidates if fits(c, system.frame, grid)),
            key=lambda c: (c.gb_energy_j_m2, c.id),
        )
        limit = ordered[0].gb_energy_j_m2 + selection.energy_window_j_m2 if ordered else 0.0
        chosen += unique(
            system, (c for c in ordered if c.gb_energy_j_m2 <= limit), selection.max_per_n
        )
    return chosen


def in_absolute_window(energies: np.ndarray, selection: SelectionConfig) -> np.ndarray:
    """Mask of energies between min_energy_j_m2 and max_energy_j_m2, if these are given."""
    lowest = -np.inf if selection.min_energy_j_m2 is None else selection.min_energy_j_m2
    highest = np.inf if selection.max_energy_j_m2 is None else selection.max_energy_j_m2
    return (energies >= lowest) & (energies <= highest)


def unique(system: BoundarySystem, ordered: Iterable[Candidate], num: int) -> list[Candidate]:
    """First ``num`` candidates, by energy, whose structures differ from all earlier ones."""
    return first_unique(
        ordered,
        energy_j_m2=lambda candidate: candidate.gb_energy_j_m2,
        fingerprint=lambda candidate: boundary_fingerprint(system, candidate),
        num=num,
    )
