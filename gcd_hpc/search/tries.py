"""Grand canonical random search: the start structure of one try before it is relaxed."""

from collections.abc import Mapping

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from gcd_hpc.config.simulation import MolecularDynamicsConfig, SearchConfig
from gcd_hpc.engines.jobs import MAX_SEED, Anneal
from gcd_hpc.structures.frame import Frame

SOLUTE_DEPTH = 5.5
"""Largest distance of a solute from the boundary, Å; docs/science.md#elements has such sites."""
PLANE_TOLERANCE = 1e-4
"""Largest distance of an atom from its lattice plane, Å."""


def search_start(
    frame: Frame,
    config: SearchConfig,
    rng: np.random.Generator,
    registry: np.ndarray | None = None,
    num_removed: int | None = None,
) -> tuple[Atoms, np.ndarray, Anneal | None]:
    """Join the grains, remove atoms from a plane at the boundary, and displace those next to it.

    Where the campaign asks for solutes, they take the places of atoms near the boundary.

    Args:
        registry: (3,) Å; random if not given.
        num_removed: number of atoms to remove; random if not given.

    Returns:
        The structure, its registry (3,) in Å before relaxation, and the annealing before
            relaxation, if any.
    """
    registry = frame.random_registry(rng) if registry is None else registry
    lower = frame.lower_sites(frame.centre)
    upper = frame.upper_sites(registry, frame.centre + registry[2])
    # Remove atoms from the plane next to the boundary, in either grain with equal probability.
    if rng.random() < 0.5:
        heights = lower.positions[:, 2]
        lower = lower.of(
            ~_removed(
                heights.max() - heights,
                frame.bicrystal.plane_spacing,
                frame.bicrystal.lower.atoms_per_plane,
                rng,
                num_removed,
            )
        )
    else:
        heights = upper.positions[:, 2]
        upper = upper.of(
            ~_removed(
                heights - heights.min(),
                frame.bicrystal.upper.plane_spacing,
                frame.bicrystal.upper.atoms_per_plane,
                rng,
                num_removed,
            )
        )
    # Displace the atoms within a nearest-neighbour distance of the boundary.
    middle = (lower.positions[:, 2].max() + upper.positions[:, 2].min()) / 2
    positions, numbers = lower.and_also(upper)  # (N, 3) Å and (N,)
    near = np.abs(positions[:, 2] - middle) < frame.bicrystal.nearest_neighbor
    positions[near] += rng.uniform(-config.perturbation, config.perturbation, (int(near.sum()), 3))
    numbers = _with_solutes(numbers, np.abs(positions[:, 2] - middle), config.solutes, rng)
    anneal = random_anneal(config.md, rng) if rng.random() < config.md.probability else None
    return frame.atoms(frame.bicrystal.wrap(positions), numbers), registry, anneal


def _removed(
    depths: np.ndarray,
    plane_spacing: float,
    atoms_per_plane: int,
    rng: np.random.Generator,
    given: int | None,
) -> np.ndarray:
    """Mask (N,) of the atoms removed: as many as given, or 0 to atoms_per_plane - 1, all equally
    likely.

    Args:
        depths: (N,) distances from the outermost atom of the grain, Å.
    """
    plane = np.flatnonzero(depths < plane_spacing - PLANE_TOLERANCE)
    removed = np.zeros(len(depths), dtype=bool)
    drawn = int(rng.integers(atoms_per_plane))
    number = min(drawn if given is None else given, len(plane))
    removed[rng.choice(plane, size=number, replace=False)] = True
    return removed


def _with_solutes(
    numbers: np.ndarray,
    distances: np.ndarray,
    solutes: Mapping[str, tuple[int, int]],
    rng: np.random.Generator,
) -> np.ndarray:
    """Atomic numbers (N,) after a random number of each solute was put on sites near the boundary.

    Args:
        numbers: (N,) atomic numbers.
        distances: (N,) of the atoms from the boundary, Å.
        solutes: smallest and largest number of each, by symbol.
    """
    changed = numbers.copy()
    free = np.flatnonzero(distances < SOLUTE_DEPTH)
    for symbol, (fewest, most) in solutes.items():
        number = min(int(rng.integers(fewest, most + 1)), len(free))
        places = rng.choice(free, size=number, replace=False)
        changed[places] = atomic_numbers[symbol]
        free = np.setdiff1d(free, places)
    return changed


def random_anneal(config: MolecularDynamicsConfig, rng: np.random.Generator) -> Anneal:
    """Annealing of random temperature (uniform) and length (log-uniform)."""
    fewest, most = config.num_steps
    return Anneal(
        temperature_k=float(rng.uniform(*config.temperature_k)),
        num_steps=round(float(np.exp(rng.uniform(np.log(fewest), np.log(most))))),
        timestep_ps=config.timestep_ps,
        seed=int(rng.integers(1, MAX_SEED)),
        cooled_to=config.cooled_to,
    )
