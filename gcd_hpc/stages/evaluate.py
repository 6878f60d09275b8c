"""Energies of structure files of the campaign's boundary, whoever made them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.relaxation import relax_boundary
from gcd_hpc.errors import SimulationError, StructureError
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.structures.files import read_structures
from gcd_hpc.structures.fit_slab import FittedSlab, fit_slab


def evaluate_files(
    config: CampaignConfig, files: Sequence[Path], folder: Path
) -> list[dict[str, Any]]:
    """Relax every structure of the files with the campaign's potential and preset; one record a
    structure, in order.

    Args:
        files: structure files, which may hold several structures, and folders of such files.

    Raises:
        GcdError: if a file is no structure of this boundary. A structure on which LAMMPS fails is a
            record with status "failed".
    """
    read = {
        path: read_structures(path, config.boundary.element)
        for given in files
        for path in _files_of(given)
    }
    setting = BoundarySystem.build(config, folder)
    slabs = [
        (name, _fitted(setting, name, atoms))
        for path, images in read.items()
        for name, atoms in _named(path, images)
    ]
    with LammpsChild(setting.potential, config.relaxation.timeout_s) as child:
        return [evaluate_one(setting, child, name, slab) for name, slab in slabs]


def _named(path: Path, images: Sequence[Atoms]) -> Iterator[tuple[str, Atoms]]:
    """Structures by their file, and by their number in it if there are several."""
    for number, atoms in enumerate(images, start=1):
        yield (f"{path}#{number}" if len(images) > 1 else str(path)), atoms


def _fitted(setting: BoundarySystem, name: str, atoms: Atoms) -> FittedSlab:
    try:
        return fit_slab(atoms, setting.bicrystal, setting.config.relaxation.outer_thickness)
    except StructureError as error:
        raise StructureError(f"{name}: {error}") from None


def _files_of(path: Path) -> list[Path]:
    """The file itself, or the files of a folder by name."""
    if not path.is_dir():
        return [path]
    files = sorted(
        file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")
    )
    if not files:
        raise StructureError(f"{path}: expected a folder with structure files, got an empty one")
    return files


def evaluate_one(
    setting: BoundarySystem, child: LammpsChild, name: str, slab: FittedSlab
) -> dict[str, Any]:
    """The record of one structure: its file, with the number in it if there are several, and its
    own id if the file tells.

    ``summed_height_a`` is the height over which E_gb is summed: the slab but for one cutoff at each
    end. ``num_removed`` and ``largest_shift_a`` say what was done to the ends of the slab, so that
    they are perfect crystal.
    """
    record: dict[str, Any] = {
        "file": name,
        "id": str(slab.atoms.info.get("id", "")),
        "status": "ok",
        "reason": "",
        "num_atoms": len(slab.atoms),
        "num_removed": slab.num_removed,
        "largest_shift_a": slab.largest_shift,
        "cohesive_ev": setting.bulk.cohesive_ev,
    }
    try:
        relaxed = relax_boundary(
            child, slab.atoms, setting.bicrystal, setting.bulk, setting.config.relaxation
        )
    except SimulationError as error:
        unknown = dict.fromkeys(
            ("gb_energy_j_m2", "n_fraction", "excess_volume_a", "summed_height_a")
        )
        return record | unknown | {"status": "failed", "reason": str(error)}
    return record | {
        "gb_energy_j_m2": relaxed.gb_energy_j_m2,
        "n_fraction": relaxed.n_fraction,
        "excess_volume_a": relaxed.excess_volume,
        "summed_height_a": float(np.ptp(relaxed.positions[:, 2]) - 2 * setting.bulk.cutoff),
        "max_force_ev_a": relaxed.max_force,
        "converged": relaxed.converged,
    }
