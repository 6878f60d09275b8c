"""The perfect crystal that boundary energies are counted from: lattice constant, cohesive energy,
and the potential's reach.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import brentq

from gcd_hpc.engines.child import Evaluation, LammpsChild
from gcd_hpc.engines.potentials import Potential
from gcd_hpc.errors import PotentialError, SimulationError
from gcd_hpc.files import replacing
from gcd_hpc.structures.lattices import conventional_cell, typical_a0

REPLICAS = 3
SCAN = np.arange(0.80, 1.30, 0.02)
"""Lattice constants tried first, relative to the guess."""
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Bulk:
    """Properties of one crystal under one potential: Å, eV per atom, Å."""

    a0: float
    cohesive_ev: float
    cutoff: float


def measure_bulk(
    potential: Potential,
    element: str,
    lattice: str,
    a0: float | None = None,
    cache: Path | None = None,
) -> Bulk:
    """Relax the perfect crystal to zero pressure.

    Args:
        a0: lattice constant in Å; found when None, otherwise taken as it is and only the energy is
            measured.
        cache: JSON file that remembers the answers by the potential's hash; made when it does not
            exist.

    Raises:
        PotentialError: if LAMMPS refuses the potential, or the crystal is not stable under it.
    """
    key = f"{potential.sha256} {element} {lattice} {'measured' if a0 is None else repr(a0)}"
    known = _read_cache(cache)
    if key in known:
        return Bulk(**known[key])
    with LammpsChild(potential, TIMEOUT_S) as child:
        try:
            bulk = _measure(child, element, lattice, a0)
        except SimulationError as error:
            raise PotentialError(
                f"{potential.pair_style} {potential.pair_coeff}: {error}"
            ) from error
    if cache is not None:
        _write_cache(cache, known | {key: asdict(bulk)})
    return bulk


def _measure(child: LammpsChild, element: str, lattice: str, a0: float | None) -> Bulk:
    def crystal(a: float) -> Evaluation:
        atoms = conventional_cell(lattice, element, a).repeat(REPLICAS)
        return child.evaluate(
            atoms.positions, np.array([np.zeros(3), atoms.cell.lengths()]), periodic_z=True
        )

    if a0 is None:
        trial = SCAN * typical_a0(element, lattice)
        energies = [crystal(a).energies.mean() for a in trial]
        lowest = int(np.argmin(energies))
        if lowest in (0, len(trial) - 1) or energies[lowest] >= 0:
            raise PotentialError(
                f"{element} has no stable {lattice} crystal with a lattice constant from"
                f" {trial[0]:.2f} to {trial[-1]:.2f} Å"
            )
        a0 = float(
            brentq(
                lambda a: crystal(a).pressure_bar, trial[lowest - 1], trial[lowest + 1], xtol=1e-10
            )
        )
    final = crystal(a0)
    if final.cutoff is None:
        raise PotentialError(
            f"LAMMPS does not state the cutoff of pair_style {child.potential.pair_style}, which"
            " E_gb needs"
        )
    return Bulk(a0, float(final.energies.mean()), final.cutoff)


def _read_cache(cache: Path | None) -> dict[str, dict[str, float]]:
    """What is remembered; a file that is missing or damaged is measured anew."""
    try:
        return dict(json.loads(cache.read_text())) if cache is not None else {}
    except (FileNotFoundError, ValueError):
        return {}


def _write_cache(cache: Path, content: dict[str, dict[str, float]]) -> None:
    with replacing(cache) as temporary:
        temporary.write_text(json.dumps(content, indent=1))
