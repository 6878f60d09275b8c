"""Lattice constant and reach of an engine that states neither pressure nor cutoff."""

from collections.abc import Callable

import numpy as np
from ase import Atoms

from gcd_hpc.engines.child import Child
from gcd_hpc.engines.jobs import Evaluation
from gcd_hpc.structures.bicrystal import BORDER
from gcd_hpc.structures.energetics import J_PER_M2
from gcd_hpc.structures.periodic import edges_and_tilt, wrap

WIDTHS = (0.02, 0.008)
"""Relative half widths of the two fits of the energy."""
NUM_POINTS = 9
HALF_SLAB = 20.0
"""Depth from its surface to which a slab is looked at, Å."""
GAP = 20.0
"""Empty space around the slab, Å."""
SAME_J_M2 = 1e-4
"""Excess energy of all atoms beyond the reach of a surface: less than any boundary's by 1e-3."""
SAME_FORCE = 0.01
"""Force on an atom beyond this reach, eV/Å."""
BELOW = 1e-3
"""Distance of a depth from the atoms that lie there, so that rounding cannot lose them, Å."""
SURFACE = (0, 3, 1)
"""Surface of the slab: its cell has right angles, and its planes are close to each other, so that
depths are found finely."""


def smooth_minimum(energy: Callable[[float], float], near: float) -> float:
    """Lattice constant of lowest energy, Å, from cubic fits of energies per atom.

    A fit averages over the noise of energies in single precision, which a search for the lowest
    one, or for the zero of the pressure, would follow.

    Args:
        near: lattice constant within 2 % of it.
    """
    for width in WIDTHS:
        trial = near * np.linspace(1 - width, 1 + width, NUM_POINTS)
        fit = np.polynomial.Polynomial.fit(trial, [energy(a) for a in trial], 3)
        roots = [root.real for root in fit.deriv().roots() if abs(root.imag) < 1e-9]
        inside = [root for root in roots if trial[0] < root < trial[-1] and fit.deriv(2)(root) > 0]
        near = float(inside[0] if inside else trial[int(np.argmin(fit(trial)))])
    return float(near)


def measured_reach(child: Child, crystal: Atoms) -> float:
    """Depth to which a free surface changes energies and forces in the crystal, Å.

    It stands for the cutoff. For networks that pass messages, the distance over which an atom could
    in principle be felt is several cutoffs, but its influence ends long before.

    Args:
        crystal: relaxed cell with right angles. In a compound all atoms of an element have the same
            surroundings.
    """
    from ase.build import surface  # late, because it imports scipy.optimize; see constants.py

    _, width, height = crystal.cell.lengths()
    spacing = 1 / np.hypot(SURFACE[1] / width, SURFACE[2] / height)  # of the surface's planes
    layers = int(np.ceil(2 * HALF_SLAB / spacing))
    slab = surface(crystal, SURFACE, layers)
    slab.positions[:, 2] -= slab.positions[:, 2].min()
    top = float(slab.positions[:, 2].max())
    edges, _ = edges_and_tilt(np.asarray(slab.cell)[:2, :2])
    box = np.array([[0.0, 0.0, -GAP / 2], [*edges, top + GAP / 2]])
    positions = wrap(slab.positions, edges)
    result = child.evaluate(positions, box, numbers=slab.numbers)
    depths = np.minimum(positions[:, 2], top - positions[:, 2])
    order = np.argsort(depths)[::-1]  # from the middle outwards
    deviations = np.zeros(len(order))
    if child.potential.has_energies:
        cell = np.array([np.zeros(3), crystal.cell.lengths()])
        inner = child.evaluate(crystal.positions, cell, True, numbers=crystal.numbers).energies
        for number in np.unique(slab.numbers):
            energy = inner[crystal.numbers == number].mean()
            is_one = slab.numbers[order] == number
            deviations[is_one] = np.abs(result.energies[order][is_one] - energy)
    excess = np.cumsum(deviations) / 2 / edges.prod() * J_PER_M2
    forces = np.abs(result.forces).max(axis=1)[order]
    felt = depths[order][(excess > SAME_J_M2) | (np.maximum.accumulate(forces) > SAME_FORCE)]
    # An atom misses neighbours only from the next plane above the surface on.
    return float(felt.max(initial=0.0) + spacing)


def felt_depth(
    positions: np.ndarray, found: Evaluation, spacing: float, area: float, crystal_ev: float
) -> float:
    """Depth in whole lattice planes to which the surfaces of a slab are felt, Å.

    Atoms of a plane may differ in energy, and only their mean is that of the crystal.

    Args:
        positions: (N, 3) of a slab of whole planes from z = 0 on, Å.
        spacing: of the planes, Å.
        area: of the slab, Å^2.
        crystal_ev: energy of the crystal per atom, eV.
    """
    z = positions[:, 2]
    plane = np.floor((z + BORDER) / spacing).astype(int)  # (N,)
    last = plane.max()
    excess = np.zeros(last // 2 + 1)
    for one in range(last + 1):
        energies = found.energies[plane == one]
        excess[min(one, last - one)] += abs(energies.sum() - len(energies) * crystal_ev)
    deeper = np.cumsum(excess[::-1])[::-1] / 2 / area * J_PER_M2
    number = np.minimum(plane, last - plane)  # (N,) planes between an atom and the surface
    forces = np.abs(found.forces).max(axis=1)
    force = np.array([forces[number >= one].max() for one in range(len(excess))])
    is_felt = ((deeper > SAME_J_M2) | (force > SAME_FORCE))[number]
    depths = np.minimum(z - z.min(), z.max() - z)[is_felt]
    # As above. That depth is one of the crystal's layers, which is not felt any more.
    return float(depths.max(initial=0.0) + spacing - BELOW)
