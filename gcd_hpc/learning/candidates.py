"""Candidates: the rows of structures before relaxation, and fingerprints of relaxed ones."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from gcd_hpc.engines.bulk import Bulk
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.store.alloys import excess_energies, kinds_of, stored_energies
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.parts import read_columns
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate, Source, candidate_id
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.composition import formula, surplus
from gcd_hpc.structures.energetics import closest_pair, n_fraction, n_index
from gcd_hpc.structures.fingerprint import Fingerprint, slab_fingerprint


def new_candidate(
    system: BoundarySystem, source: Source, index: int, round: int = 0, version: int = 0
) -> Candidate:
    """Candidate ``index`` of its source and round, without a structure.

    Args:
        version: model whose weights make the structure; 0 without a model.
    """
    return Candidate(
        id=candidate_id(source, round, index),
        source=source,
        version=version,
        round=round,
        index=index,
        seed=system.config.seed,
        status="sampled",
        potential_sha256=system.potential.sha256,
        cohesive_ev=system.bulk.cohesive_ev,
        element_energies_ev=element_energies(system.bulk),
        area_a2=system.bicrystal.area,
        surface_depth_a=system.bulk.reach,
        atoms_per_plane=system.bicrystal.atoms_per_plane,
        cell=system.frame.edges_around(),
        tilt_a=system.bicrystal.cell[1][0],
        axial_ratio=system.bicrystal.axial_ratio,
    )


def element_energies(bulk: Bulk) -> str:
    """Energies of the elements as the field ``element_energies_ev``; empty if there is one."""
    chemistry = bulk.chemistry
    if chemistry is None:
        return ""
    return stored_energies(chemistry.symbols, chemistry.site_ev, chemistry.mu_ev)


def element_fields(bicrystal: Bicrystal, numbers: NDArray[np.integer]) -> dict[str, Any]:
    """Fields of a candidate that state the elements of its atoms, from atomic numbers (N,)."""
    order = bicrystal.numbers
    if len(order) == 1:
        return {"numbers": numbers}
    return {
        "numbers": numbers,
        "formula": formula(numbers, order),
        "surplus": surplus(bicrystal, numbers, order),
    }


def with_structure(
    system: BoundarySystem,
    candidate: Candidate,
    positions: NDArray[np.float64],
    registry: NDArray[np.float64],
    seconds: float = 0.0,
    numbers: NDArray[np.integer] | None = None,
) -> Candidate:
    """The candidate with its unrelaxed structure.

    Args:
        positions: (N, 3) Å.
        numbers: (N,) atomic numbers; may be left out if there is one element.
        registry: (dx, dy, dz) of the upper grain, Å.
        seconds: time spent on making the structure.
    """
    numbers = system.numbers_of(positions, numbers)
    return replace(
        candidate,
        registry=registry,
        num_atoms=len(positions),
        n_index=n_index(len(positions), system.bicrystal.atoms_per_plane),
        n_fraction=n_fraction(len(positions), system.bicrystal.atoms_per_plane),
        closest_pair_a=closest_pair(positions, system.frame.cell),
        cell=system.frame.edges_around(positions),
        unrelaxed_positions=positions,
        sample_s=seconds,
        **element_fields(system.bicrystal, numbers),
    )


def known_columns(files: RunDirectory, round: int, names: Sequence[str]) -> Columns:
    """Columns of the structures that set the targets and the registries of a round's samples.

    They are those of the round's training set. Before the first training, when a campaign samples
    the model that it starts from, they are the relaxed structures of the search.
    """
    if round:
        return read_columns([files.training_set(round)], names)
    columns = read_columns(files.search_parts(), [*names, "status"])
    is_relaxed = columns["status"] == "ok"
    return {name: columns[name][is_relaxed] for name in names}


def boundary_fingerprint(system: BoundarySystem, candidate: Candidate) -> Fingerprint:
    """Fingerprint of the boundary atoms, whose energies differ from the crystal's."""
    elements = system.bicrystal.elements
    return slab_fingerprint(
        candidate.positions,
        candidate.box,
        excess_energies(vars(candidate)),
        0.0,
        system.bicrystal.nearest_neighbor,
        system.outer,
        kinds_of(candidate.numbers, elements),
        len(elements),
    )


def unrelaxed_atoms(system: BoundarySystem, candidate: Candidate) -> Atoms:
    """Structure of a candidate before relaxation, in the box of the frame."""
    # Files of earlier versions know no atomic numbers.
    numbers = candidate.numbers if len(system.bicrystal.numbers) > 1 else None
    return system.frame.atoms(candidate.unrelaxed_positions, numbers)


def objection(system: BoundarySystem, num_atoms: int, closest: float) -> str:
    """Reason not to relax a decoded structure; empty if there is none.

    Args:
        closest: shortest distance between two atoms, Å.
    """
    bicrystal, frame = system.bicrystal, system.frame
    shortest = system.config.sampling.min_pair_distance * bicrystal.nearest_neighbor
    if closest < shortest:
        return f"closest pair {closest:.2f} Å, expected at least {shortest:.2f} Å"
    full = len(frame.join(np.zeros(3)))
    plane = max(bicrystal.lower.atoms_per_plane, bicrystal.upper.atoms_per_plane)
    if not full - 2 * plane <= num_atoms <= full + plane:
        return (
            f"{num_atoms} atoms, expected {full} less up to two planes or more by up to one plane"
            f" of {plane}"
        )
    return ""
