"""A phase of a boundary, and how one is named."""

from collections.abc import Sequence
from dataclasses import dataclass

from gcd_hpc.errors import StoreError, did_you_mean, shortened
from gcd_hpc.store.run_candidate import RunCandidate


@dataclass(frozen=True)
class Phase:
    """One structure of a boundary with all the candidates that are it.

    name: [n] in lowest terms and the rank by energy within this [n], such as ``1/5-1``.
    n_index, n_fraction: [n] of the representative, in atoms and as a fraction of a plane.
    representative: the lowest candidate in the smallest cell.
    members: ids of all candidates of this phase, lowest energy first.
    replicas: in-plane cell of the representative, in cells of the boundary without replicas.
    layer_group: its number and symbol, such as ``35 cm2m``, within 0.05 Å.
    middle_a: height of the boundary in the slab of the representative, Å.
    relative: the phase that this one is with point defects, such as ``1/5-1 + 1 vacancy``; empty if
    there is none.
    defect_energy_ev: energy of each of these defects, eV.
    """

    name: str
    n_index: int
    n_fraction: float
    gb_energy_j_m2: float
    excess_volume_a: float
    representative: RunCandidate
    members: tuple[str, ...]
    replicas: tuple[int, int]
    layer_group: str
    middle_a: float
    relative: str = ""
    defect_energy_ev: float | None = None

    @property
    def rank(self) -> int:
        """Rank by energy within its [n], from 1."""
        return int(self.name.rpartition("-")[2])

    @property
    def num_found(self) -> int:
        """Number of candidates that are this phase."""
        return len(self.members)

    @property
    def file_name(self) -> str:
        """The name as a file name: ``1of5-1``."""
        return self.name.replace("/", "of")


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
