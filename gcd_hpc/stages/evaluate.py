"""Energies of structure files that hold the campaign's boundary, from any source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path
from typing import Literal

import numpy as np
from ase import Atoms

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.relaxation import relax_boundary
from gcd_hpc.errors import SimulationError, StructureError
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.structures.composition import surplus
from gcd_hpc.structures.files import read_structures
from gcd_hpc.structures.fit_slab import FittedSlab, fit_slab
from gcd_hpc.structures.periodic import area, in_plane

MAX_SCALING = 0.1
"""Largest relative difference of two engines' lattice constants."""


@dataclass(frozen=True)
class Evaluated:
    """Relaxed structure of a file. Values that LAMMPS did not compute are None.

    file: name of the file, with the number of the structure if it holds several.
    id: name of the structure in its file, if given.
    status: "ok", or "failed" with a reason.
    num_removed, largest_shift_a: changes that make the ends of the slab perfect crystal: number of
    atoms removed, and largest distance of an atom from its lattice site.
    strain_energy_j_m2, strain_volume_a: of the strained upper grain, not part of E_gb and volume.
    energies_from, surplus, rich_gb_energy_j_m2, poor_gb_energy_j_m2: as the fields of candidates.
    summed_height_a: height over which E_gb is summed: the slab without one cutoff at each end.
    """

    file: str
    id: str
    num_atoms: int
    num_removed: int
    largest_shift_a: float
    cohesive_ev: float
    status: Literal["ok", "failed"] = "ok"
    reason: str = ""
    gb_energy_j_m2: float | None = None
    n_fraction: float | None = None
    excess_volume_a: float | None = None
    strain_energy_j_m2: float | None = None
    strain_volume_a: float | None = None
    summed_height_a: float | None = None
    max_force_ev_a: float | None = None
    converged: bool | None = None
    energies_from: str | None = None
    surplus: str = ""
    rich_gb_energy_j_m2: float | None = None
    poor_gb_energy_j_m2: float | None = None


def evaluate_files(
    config: CampaignConfig, files: Sequence[Path], folder: Path, is_scaled: bool = False
) -> list[Evaluated]:
    """Relax all structures of the files, in order, with the campaign's engine and preset.

    Args:
        is_scaled: scale structures of another engine to this one's lattice constant.
        files: structure files, which may hold several structures, and folders of such files.

    Raises:
        GcdError: if a structure does not contain this boundary.
    """
    read = {
        path: read_structures(path, config.boundary.symbols)
        for given in files
        for path in _files_of(given)
    }
    system = BoundarySystem.build(config, folder)
    slabs = [
        (name, fitted(system, name, scaled(atoms, system) if is_scaled else atoms))
        for path, images in read.items()
        for name, atoms in _named(path, images)
    ]
    with Child(system.potential, config.relaxation.timeout_s) as child:
        return [_evaluated(system, child, name, slab) for name, slab in slabs]


def _named(path: Path, images: Sequence[Atoms]) -> Iterator[tuple[str, Atoms]]:
    """Structures by file name, with their number if the file holds several."""
    for number, atoms in enumerate(images, start=1):
        yield (f"{path}#{number}" if len(images) > 1 else str(path)), atoms


def scaled(atoms: Atoms, system: BoundarySystem) -> Atoms:
    """A slab of another lattice constant, scaled to that of the system along all axes.

    A slab that is no such one is returned as it is.
    """
    given, own = area(in_plane(atoms.cell)), system.bicrystal.area
    factor = float(np.sqrt(max(1, round(given / own)) * own / given))
    if abs(factor - 1) > MAX_SCALING:
        return atoms
    larger: Atoms = atoms.copy()
    larger.info = dict(atoms.info)
    larger.set_cell(atoms.cell * factor, scale_atoms=False)
    larger.positions *= factor
    return larger


def fitted(system: BoundarySystem, name: str, atoms: Atoms) -> FittedSlab:
    """The slab on the lattices of the system's grains.

    Raises:
        StructureError: if it holds another boundary; the name is that of its file or its id.
    """
    try:
        return fit_slab(atoms, system.bicrystal, system.outer)
    except StructureError as error:
        raise StructureError(f"{name}: {error}") from None


def _files_of(path: Path) -> list[Path]:
    """The file itself, or the sorted files of a directory."""
    if not path.is_dir():
        return [path]
    files = sorted(
        file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")
    )
    if not files:
        raise StructureError(f"{path}: nothing to relax: the folder holds no structure files")
    return files


def _evaluated(system: BoundarySystem, child: Child, name: str, slab: FittedSlab) -> Evaluated:
    bicrystal = system.bicrystal
    given = Evaluated(
        file=name,
        id=str(slab.atoms.info.get("id", "")),
        num_atoms=len(slab.atoms),
        num_removed=slab.num_removed,
        largest_shift_a=slab.largest_shift,
        cohesive_ev=system.bulk.cohesive_ev,
        surplus=surplus(bicrystal, slab.atoms.numbers, bicrystal.numbers),
    )
    try:
        relaxed = relax_boundary(
            child, slab.atoms, bicrystal, system.bulk, system.config.relaxation
        )
    except SimulationError as error:
        return replace(given, status="failed", reason=str(error))
    own, *limits = relaxed.composition_energies_j_m2
    rich, poor = (
        None if isnan(energy) else relaxed.gb_energy_j_m2 - own + energy for energy in limits
    )
    return replace(
        given,
        rich_gb_energy_j_m2=rich,
        poor_gb_energy_j_m2=poor,
        gb_energy_j_m2=relaxed.gb_energy_j_m2,
        n_fraction=relaxed.n_fraction,
        excess_volume_a=relaxed.excess_volume,
        strain_energy_j_m2=relaxed.strain_energy_j_m2,
        strain_volume_a=relaxed.strain_volume,
        summed_height_a=float(np.ptp(relaxed.positions[:, 2]) - 2 * system.bulk.reach),
        max_force_ev_a=relaxed.max_force,
        energies_from=relaxed.energies_from,
        converged=relaxed.converged,
    )
