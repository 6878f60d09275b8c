"""Phases of a boundary: relaxed structures that are the same one, with a name and a rank."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from gcd_hpc.config.simulation import outer_layers
from gcd_hpc.errors import StoreError, did_you_mean, shortened
from gcd_hpc.store.alloys import compared_energies, kinds_of
from gcd_hpc.store.crystal import neighbor_distance
from gcd_hpc.store.provenance import section_of
from gcd_hpc.store.run import Run, RunCandidate
from gcd_hpc.structures.fingerprint import (
    SAME_ENERGY_J_M2,
    Fingerprint,
    is_same,
    slab_fingerprint,
)

NUM_PER_N = 5
"""Number of phases of each [n] that are looked for where nobody says."""
_FIELDS = (*("id", "n_index", "atoms_per_plane", "area_a2"), "gb_energy_j_m2")


@dataclass(frozen=True)
class Phase:
    """One structure of a boundary with all the candidates that are it.

    name: [n] in lowest terms and the rank by energy within this [n], such as ``1/5-1``.
    n_index, n_fraction: [n] of the representative, in atoms and as a fraction of a plane.
    representative: the lowest candidate in the smallest cell.
    members: ids of all candidates of this phase, lowest energy first.
    """

    name: str
    n_index: int
    n_fraction: float
    gb_energy_j_m2: float
    excess_volume_a: float
    representative: RunCandidate
    members: tuple[str, ...]

    @property
    def num_found(self) -> int:
        """Number of candidates that are this phase."""
        return len(self.members)

    @property
    def file_name(self) -> str:
        """The name as a file name: ``1of5-1``."""
        return self.name.replace("/", "of")


def find_phases(run: Run, num_per_n: int = NUM_PER_N) -> list[Phase]:
    """Phases of lowest energy of each [n], in ascending order of [n] and energy.

    Candidates of one [n] are one phase if their energies and fingerprints agree, as
    ``structures.fingerprint.is_same``: numerical differences, symmetry operations of the boundary
    and repetition in a larger in-plane cell do not matter. Only candidates that are low enough are
    read with their atoms. Nothing is written.

    Args:
        run: candidates of one boundary, also a selection or a merged file.
        num_per_n: largest number of phases of one [n].

    Raises:
        StoreError: if a file is damaged or names no boundary.
    """
    relaxed = run.relaxed()
    columns = relaxed.columns(_FIELDS)
    planes = columns["atoms_per_plane"].tolist()
    fractions = [
        Fraction(int(index), int(plane))
        for index, plane in zip(columns["n_index"].tolist(), planes, strict=True)
    ]
    rows_of: dict[Fraction, list[int]] = {}
    for row, fraction in enumerate(fractions):
        rows_of.setdefault(fraction, []).append(row)
    phases = []
    for fraction in sorted(rows_of):
        chosen = np.array(rows_of[fraction])
        groups = _groups(relaxed[chosen], columns["gb_energy_j_m2"][chosen], num_per_n)
        phases += [_phase(fraction, rank, group) for rank, group in enumerate(groups, start=1)]
    return phases


def phase_named(phases: Sequence[Phase], name: str) -> Phase:
    """The phase of a name such as ``1/5-1``, or the one that a candidate's id belongs to.

    Raises:
        StoreError: if there is none.
    """
    for phase in phases:
        if name in (phase.name, phase.file_name) or name in phase.members:
            return phase
    known = [phase.name for phase in phases]
    raise StoreError(
        f"there is no phase or candidate of a phase called {shortened(name)};"
        f" gcd-hpc phases lists all{did_you_mean(name, known)}"
    )


@dataclass
class _Group:
    """Candidates that are one structure, in the order of their energies."""

    energy: float
    mark: Fingerprint
    members: list[RunCandidate] = field(default_factory=list)


def _groups(rows: Run, energies: np.ndarray, num: int) -> list[_Group]:
    """The ``num`` lowest groups of equal structures among rows of one [n], lowest first.

    Args:
        energies: (M,) of the rows, ascending.
    """
    groups: list[_Group] = []
    for row, energy in zip(_with_atoms(rows), energies.tolist(), strict=True):
        if len(groups) == num and energy > groups[-1].energy + SAME_ENERGY_J_M2:
            break
        mark = fingerprint_of(row, rows)
        equal = [one for one in groups if is_same(energy - one.energy, mark, one.mark)]
        if equal:
            equal[-1].members.append(row)
        elif len(groups) < num:
            groups.append(_Group(energy, mark, [row]))
    return groups


def _with_atoms(rows: Run, batch: int = 256) -> Iterator[RunCandidate]:
    """Candidates, read some at a time: files are in another order than energies."""
    for first in range(0, len(rows), batch):
        yield from rows[first : first + batch]


def fingerprint_of(row: RunCandidate, run: Run) -> Fingerprint:
    """Fingerprint of a relaxed candidate, its boundary found by the energies of its atoms.

    Raises:
        StoreError: if the run names no boundary.
    """
    config = run.provenance.get("config", "")
    thickness = section_of(config, "relaxation").get("outer_thickness", "auto")
    elements = run.elements
    return slab_fingerprint(
        row.positions,
        row.box,
        compared_energies(vars(row)),
        row.cohesive_ev,
        neighbor_distance(config, float(row.cell[0]), row.axial_ratio),
        outer_layers(thickness, row.surface_depth_a),
        kinds_of(row.numbers, elements),
        len(elements),
    )


def _phase(fraction: Fraction, rank: int, group: _Group) -> Phase:
    # The sort is stable: of equally large cells the lowest candidate comes first.
    first = min(group.members, key=lambda one: round(one.area_a2))
    return Phase(
        name=f"{fraction}-{rank}",
        n_index=first.n_index,
        n_fraction=first.n_fraction,
        gb_energy_j_m2=first.gb_energy_j_m2,
        excess_volume_a=first.excess_volume_a,
        representative=first,
        members=tuple(one.id for one in group.members),
    )
