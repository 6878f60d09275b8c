"""Phases that are another phase with point defects."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gcd_hpc.phases.phase import Phase
from gcd_hpc.store.crystal import boundary_of, crystal_of
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.energetics import J_PER_M2
from gcd_hpc.structures.matching import Match, Structure, best_match
from gcd_hpc.structures.periodic import cartesian

SAME_CRYSTAL = 0.07
"""Largest root mean square distance of atoms that stay, in nearest-neighbour distances."""
NUM_ROOTS = 5
"""Number of the lowest phases of each [n] that others are compared with."""
_ATOMS_PER_DEFECT = 10
"""Least number of atoms of a lattice plane for each defect, beyond the first two."""


def with_relatives(phases: Sequence[Phase], config: str) -> list[Phase]:
    """Phases with what they are relative to others; boundaries of several elements as they are.

    A phase is a relative of a lower one if both have the same registry, up to a symmetry operation
    of the boundary, and all atoms but a few have a partner in the other. The lower one is repeated
    to the cell of the first, is no relative itself, and is one of the NUM_ROOTS lowest of its [n].
    Of several the one with the fewest defects is named, then the nearest one.

    Args:
        config: attribute ``config`` of the files, which describes the boundary.
    """
    boundary = boundary_of(config)
    if boundary is None or len(boundary.symbols) > 1:
        return list(phases)
    single = boundary.model_copy(update={"replicas": (1, 1)})
    found: dict[str, Phase] = {}
    for phase in sorted(phases, key=lambda one: one.gb_energy_j_m2):
        length_x = float(phase.representative.cell[0]) / phase.replicas[0]
        crystal = crystal_of(single, length_x, phase.representative.axial_ratio)
        crystal = crystal.replicated(*phase.replicas)
        roots = [one for one in found.values() if not one.relative and one.rank <= NUM_ROOTS]
        found[phase.name] = _with_relative(phase, roots, crystal)
    return [found[phase.name] for phase in phases]


def _with_relative(phase: Phase, roots: Sequence[Phase], crystal: Bicrystal) -> Phase:
    """The phase with the root that it is a relative of, if there is one."""
    limit = max(2, crystal.atoms_per_plane // _ATOMS_PER_DEFECT)
    best: tuple[Match, Phase] | None = None
    for root in roots:
        match = _matched(phase, root, crystal, limit)
        if match is not None and (best is None or _rank(match) < _rank(best[0])):
            best = match, root
    if best is None:
        return phase
    match, root = best
    gap_j_m2 = phase.gb_energy_j_m2 - root.gb_energy_j_m2
    return replace(
        phase,
        relative=f"{root.name}{_defects(match)}",
        defect_energy_ev=gap_j_m2 / J_PER_M2 * crystal.area / match.num_defects,
    )


def _matched(phase: Phase, root: Phase, crystal: Bicrystal, limit: int) -> Match | None:
    """How a phase differs from a root; None unless it is by 1 to ``limit`` point defects."""
    copies, rest = np.divmod(phase.replicas, root.replicas)
    num_missing = int(copies.prod()) * root.n_index - phase.n_index
    plane = crystal.atoms_per_plane
    # Atoms missing on balance, between minus and plus half a plane.
    balance = (num_missing + plane // 2) % plane - plane // 2
    if rest.any() or abs(balance) > limit:
        return None
    match = best_match(
        _structure(phase),
        _structure(root, *copies.tolist()),
        phase.representative.box,
        crystal.symmetry_operations,
        crystal.nearest_neighbor,
    )
    if match is None or not 1 <= match.num_defects <= limit:
        return None
    is_near = match.rms_a <= SAME_CRYSTAL * crystal.nearest_neighbor
    return match if is_near and match.num_missing - match.num_extra == balance else None


def _structure(phase: Phase, x: int = 1, y: int = 1) -> Structure:
    """Atoms of a phase, repeated in the plane."""
    one = phase.representative
    steps = np.stack(np.meshgrid(np.arange(x), np.arange(y), [0.0], indexing="ij"), axis=-1)
    copies = cartesian(steps.reshape(-1, 1, 3), one.box)
    return Structure((one.positions + copies).reshape(-1, 3), phase.middle_a)


def _rank(match: Match) -> tuple[int, float]:
    return match.num_defects, match.rms_a


def _defects(match: Match) -> str:
    """Point defects in words, such as `` + 2 vacancies``."""
    words = ""
    for num, one, several in (
        (match.num_missing, "vacancy", "vacancies"),
        (match.num_extra, "interstitial", "interstitials"),
    ):
        if num:
            words += f" + {num} {one if num == 1 else several}"
    return words
