"""Relaxation of a single structure, from a notebook or a script."""

from ase import Atoms

from gcd_hpc.engines.child import Child
from gcd_hpc.engines.relaxation import Relaxed, relax_boundary
from gcd_hpc.learning.boundary import BoundarySystem


def relax(atoms: Atoms, system: BoundarySystem) -> Relaxed:
    """Relax a slab of a boundary as its campaign does, in a separate LAMMPS process.

    Args:
        atoms: any slab of this boundary, positions in Å; not changed.
        system: boundary, potential and tolerances.

    Returns:
        Positions (N, 3) in Å, energies of the atoms (N,) in eV, E_gb in J/m^2, [n], excess volume
            in Å, and the minimiser's stopping criterion.

    Raises:
        SimulationError: if the structure cannot be relaxed, or if the result cannot be a boundary
            of this crystal.
    """
    config = system.config.relaxation
    with Child(system.potential, config.timeout_s) as child:
        return relax_boundary(child, atoms, system.bicrystal, system.bulk, config)
