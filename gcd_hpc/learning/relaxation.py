"""Relaxation of a single structure, from a notebook or a script."""

from ase import Atoms

from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.relaxation import Relaxed, relax_boundary
from gcd_hpc.learning.boundary import BoundarySystem


def relax(atoms: Atoms, system: BoundarySystem) -> Relaxed:
    """Relax a slab of a boundary as the boundary's campaign does, in a LAMMPS process of its own.

    Args:
        atoms: any slab of this boundary, positions in Å; it is not changed.
        system: boundary, potential and tolerances.

    Returns:
        Positions (N, 3) in Å, energies of the atoms (N,) in eV, E_gb in J/m^2, [n], excess volume
        in Å, and how the minimiser ended.

    Raises:
        SimulationError: if the structure cannot be relaxed, or if what comes out cannot be a
            boundary of this crystal, with the reason.
    """
    config = system.config.relaxation
    with LammpsChild(system.potential, config.timeout_s) as child:
        return relax_boundary(child, atoms, system.bicrystal, system.bulk, config)
