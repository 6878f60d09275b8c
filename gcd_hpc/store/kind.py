"""Whether results are of grain boundaries or of a material, before anything else is read."""

from contextlib import suppress
from pathlib import Path

from gcd_hpc.errors import StoreError
from gcd_hpc.store.material_rows import is_material
from gcd_hpc.store.parts import read_provenance
from gcd_hpc.store.run_directory import RunDirectory


def is_of_material(path: Path) -> bool:
    """Whether a run directory or an HDF5 file of candidates is of a material.

    False for what cannot be read, of which the command that reads it says more.
    """
    config = RunDirectory(path).config
    with suppress(OSError, UnicodeDecodeError, StoreError):
        if config.is_file():
            return is_material(config.read_text(encoding="utf-8"))
        if path.is_file() and path.suffix == ".h5":
            return is_material(read_provenance(path).get("config", ""))
    return False
