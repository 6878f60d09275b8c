"""Energies of structure files of the campaign's boundary, whoever made them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ase import Atoms

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.relaxation import relax_boundary
from gcd_hpc.errors import SimulationError, StructureError
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.structures.files import read_structures

AREA_TOLERANCE = 1e-3
"""Largest relative difference of the box edges from whole repeats of the campaign's cell."""


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
    structures = [
        (path, read_structures(path, config.boundary.element))
        for given in files
        for path in _files_of(given)
    ]
    setting = BoundarySystem.build(config, folder)
    for path, images in structures:
        for atoms in images:
            check_cell(setting, path, atoms.cell.lengths())
    records = []
    with LammpsChild(setting.potential, config.relaxation.timeout_s) as child:
        for path, images in structures:
            for number, atoms in enumerate(images, start=1):
                name = f"{path}#{number}" if len(images) > 1 else str(path)
                records.append(evaluate_one(setting, child, name, atoms))
    return records


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


def check_cell(setting: BoundarySystem, path: Path, lengths: Sequence[float]) -> None:
    """Whole repeats of the campaign's in-plane cell, or StructureError."""
    for axis, length, unit in zip("xy", lengths[:2], setting.bicrystal.lengths, strict=True):
        repeats = max(1, round(length / unit))
        if abs(length / (repeats * unit) - 1) > AREA_TOLERANCE:
            raise StructureError(
                f"{path}: expected whole repeats of the campaign's cell, {unit:.4f} Å, along"
                f" {axis}, got {length:.4f} Å"
            )


def evaluate_one(
    setting: BoundarySystem, child: LammpsChild, name: str, atoms: Atoms
) -> dict[str, Any]:
    """The record of one structure: its file, with the number in it if there are several, and its
    own id if the file tells.
    """
    record: dict[str, Any] = {
        "file": name,
        "id": str(atoms.info.get("id", "")),
        "status": "ok",
        "reason": "",
        "num_atoms": len(atoms),
    }
    record["cohesive_ev"] = setting.bulk.cohesive_ev
    try:
        relaxed = relax_boundary(
            child, atoms, setting.bicrystal, setting.bulk, setting.config.relaxation
        )
    except SimulationError as error:
        unknown = dict.fromkeys(("gb_energy_j_m2", "n_fraction", "excess_volume_a"))
        return record | unknown | {"status": "failed", "reason": str(error)}
    return record | {
        "gb_energy_j_m2": relaxed.gb_energy_j_m2,
        "n_fraction": relaxed.n_fraction,
        "excess_volume_a": relaxed.excess_volume,
        "max_force_ev_a": relaxed.max_force,
        "converged": relaxed.converged,
    }
