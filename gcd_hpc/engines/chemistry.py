"""Reference energies of several elements under one potential: sublattices, pure elements, solutes.

docs/science.md#elements says how they enter the energy of a boundary.
"""

from collections.abc import Callable, Mapping, Sequence
from math import ceil

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from gcd_hpc.engines.child import Child
from gcd_hpc.engines.jobs import Minimizer, RelaxJob
from gcd_hpc.errors import PotentialError
from gcd_hpc.structures.composition import Chemistry
from gcd_hpc.structures.lattices import conventional_cell, cubic_lattice, num_elements

REPLICAS = 3
MINIMIZER = Minimizer(etol=0.0, ftol=1e-4, max_evaluations=10_000)
AROUND = 8.0
"""Least distance of a solute from its images and from the held layers, Å."""


def measure_chemistry(
    child: Child,
    elements: Sequence[str],
    lattice: str,
    a0: float,
    cutoff: float,
    mu: Mapping[str, float],
    pure_ev: Callable[[str], float],
) -> Chemistry:
    """Energies of the elements in the crystal, and their chemical potentials.

    Args:
        elements: of the crystal, then solutes.
        mu: chemical potentials that are given, eV by element.
        pure_ev: measures the energy per atom of a pure element, eV.

    Raises:
        PotentialError: if a default does not exist, because a pure element has no stable crystal or
            the compound decomposes.
        SimulationError: if the potential cannot be evaluated.
    """
    num = num_elements(lattice)
    own, solutes = tuple(elements[:num]), elements[num:]
    cell = conventional_cell(lattice, own, a0)
    atoms = cell.repeat(REPLICAS)
    box = np.array([np.zeros(3), atoms.cell.lengths()])
    energies = child.evaluate(atoms.positions, box, True, numbers=atoms.numbers).energies
    site_ev = [float(energies[atoms.symbols == element].mean()) for element in own]
    shares = [cubic_lattice(lattice).kinds.count(kind) for kind in range(num)] if num > 1 else [1]
    found = crystal_chemistry(own, shares, site_ev, mu, pure_ev)
    for solute in solutes:
        energy = mu.get(solute)
        if energy is None:
            energy = _substitution_ev(child, cell, own, found.mu_ev, solute, cutoff)
        found = Chemistry(
            numbers=(*found.numbers, atomic_numbers[solute]),
            site_ev=(*found.site_ev, energy),
            mu_ev=(*found.mu_ev, energy),
            rich_ev=(*found.rich_ev, energy),
            poor_ev=(*found.poor_ev, energy),
        )
    return found


def crystal_chemistry(
    elements: Sequence[str],
    shares: Sequence[int],
    site_ev: Sequence[float],
    mu: Mapping[str, float],
    pure_ev: Callable[[str], float],
) -> Chemistry:
    """Chemical potentials of the one or two elements of a crystal.

    Args:
        shares: atoms of each element in a formula unit.
        site_ev: mean energies of their atoms, eV.
        mu, pure_ev: as for ``measure_chemistry``.

    Raises:
        PotentialError: as ``measure_chemistry``.
    """
    own_ev = rich_ev = poor_ev = list(site_ev)
    if len(elements) > 1:
        own_ev, rich_ev, poor_ev = _potentials(elements, shares, site_ev, mu, pure_ev)
    return Chemistry(
        numbers=tuple(atomic_numbers[element] for element in elements),
        site_ev=tuple(site_ev),
        mu_ev=tuple(own_ev),
        rich_ev=tuple(rich_ev),
        poor_ev=tuple(poor_ev),
    )


def _potentials(
    elements: Sequence[str],
    shares: Sequence[int],
    site_ev: Sequence[float],
    mu: Mapping[str, float],
    pure_ev: Callable[[str], float],
) -> tuple[list[float], list[float], list[float]]:
    """Chemical potentials of a compound's two elements: chosen, and at both limits, eV.

    Args:
        shares: atoms of each element in a formula unit.
    """
    formula_ev = float(np.dot(shares, site_ev))

    def with_first(energy: float) -> list[float]:
        return [energy, (formula_ev - shares[0] * energy) / shares[1]]

    def with_second(energy: float) -> list[float]:
        return [(formula_ev - shares[1] * energy) / shares[0], energy]

    chosen = None
    if elements[0] in mu:
        chosen = with_first(mu[elements[0]])
    elif elements[1] in mu:
        chosen = with_second(mu[elements[1]])
    try:
        rich, poor = with_first(pure_ev(elements[0])), with_second(pure_ev(elements[1]))
    except PotentialError as error:
        if chosen is None:
            raise PotentialError(
                f"boundary.mu: has no default, because {error}; give the chemical potential of"
                f" {elements[0]} or {elements[1]}"
            ) from error
        return chosen, chosen, chosen
    if chosen is None and poor[0] >= rich[0]:
        raise PotentialError(
            f"boundary.mu: has no default, because the compound of {' and '.join(elements)} has a"
            " higher energy than the pure elements; give one of the two, or use another potential"
        )
    middle = [(one + other) / 2 for one, other in zip(rich, poor, strict=True)]
    return chosen or middle, rich, poor


def _substitution_ev(
    child: Child,
    cell: Atoms,
    own: Sequence[str],
    own_ev: Sequence[float],
    solute: str,
    cutoff: float,
) -> float:
    """Energy of a solute in the crystal, eV: what the slab gains, and the atom it replaces.

    Of a compound's sublattices the one is taken on which it costs least.
    """
    (edge, *_), height = cell.cell.lengths(), 2 * (cutoff + AROUND)
    num = max(2, ceil(AROUND / edge))
    slab = cell.repeat((num, num, ceil(height / edge)))
    z = slab.positions[:, 2]
    box = np.array([[0.0, 0.0, -AROUND], [num * edge, num * edge, z.max() + AROUND]])
    fixed = (z < cutoff) | (z > z.max() - cutoff)
    none = np.zeros(len(slab), dtype=bool)
    before = child.evaluate(slab.positions, box, numbers=slab.numbers).energies.sum()
    middle = np.argsort(np.abs(z - z.max() / 2), kind="stable")
    found = []
    for element, energy in zip(own, own_ev, strict=True):
        changed = slab.copy()
        (place, *_) = middle[slab.symbols[middle] == element]
        changed.symbols[place] = solute
        job = RelaxJob(changed.positions, box, fixed, none, MINIMIZER, numbers=changed.numbers)
        found.append(float(child.relax(job).energies.sum() - before) + energy)
    return min(found)
