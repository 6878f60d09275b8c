"""Files of targets: a spectrum that is ready to be compared, as CSV or HDF5."""

from pathlib import Path

import numpy as np

from gcd_hpc.errors import StoreError, printable
from gcd_hpc.files import output
from gcd_hpc.spectra.datasets import Column, check_kind, read_column, seal_file, write_column
from gcd_hpc.spectra.measured import MeasuredSpectrum, import_columns
from gcd_hpc.store.hdf5 import image_for
from gcd_hpc.store.strict import opened

SUFFIXES = (".csv", ".h5")
KIND = "a target spectrum"
SCHEMA_VERSION = 1
_WHAT = "an HDF5 file of a target, as gcd-hpc spectra import writes it"
_HDF5 = b"\x89HDF"
_ENERGIES = Column("target/energy_ev", "float", "eV", "energy of each point")
_VALUES = Column("target/values", "float", "1", "absorption")
_ABOUT = ("element", "edge", "source")


def check_suffix(path: Path) -> None:
    """Check that the name of a file of a target states a known format.

    Raises:
        StoreError: if it does not.
    """
    if path.suffix not in SUFFIXES:
        raise StoreError(
            f"cannot write {path}: a target is a {' or '.join(SUFFIXES)} file; name one of them"
        )


def write_target(path: Path, target: MeasuredSpectrum) -> None:
    """Write a target, as CSV with a header of XDI fields or as HDF5, by the suffix.

    Raises:
        StoreError: if the suffix is unknown.
        RunDirectoryError: if the file cannot be written.
    """
    check_suffix(path)
    if path.suffix == ".csv":
        with output(path) as temporary:
            temporary.write_text(_csv(target), encoding="utf-8")
        return
    with image_for(path) as file:
        write_column(file, _VALUES, target.values)
        if target.energies_ev is not None:
            write_column(file, _ENERGIES, target.energies_ev)
        about = file["target"].attrs
        for name in _ABOUT:
            about[name] = getattr(target, name)
        about["axis"] = "bins" if target.energies_ev is None else "eV"
        seal_file(file, KIND, SCHEMA_VERSION, "target")


def read_target(path: Path) -> MeasuredSpectrum:
    """Target of a file of ``write_target``, or of a file of columns that states all by itself.

    Raises:
        StoreError: if it is missing, damaged, or does not state unit, element and edge.
    """
    if not _is_hdf5(path):
        return import_columns(path)
    with opened(path, _WHAT) as file:
        check_kind(path, file, KIND, _WHAT, SCHEMA_VERSION, "target")
        about = file["target"].attrs
        energies = read_column(file, _ENERGIES) if about["axis"] == "eV" else None
        texts = {name: printable(str(about[name])) for name in _ABOUT}
        return MeasuredSpectrum(energies, read_column(file, _VALUES), **texts)


def _is_hdf5(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_HDF5)) == _HDF5
    except OSError:
        return False


def _csv(target: MeasuredSpectrum) -> str:
    bins = np.arange(len(target.values))
    axis = bins if target.energies_ev is None else target.energies_ev
    name = "bin" if target.energies_ev is None else "energy_ev"
    rows = (f"{x!r},{y!r}" for x, y in zip(axis.tolist(), target.values.tolist(), strict=True))
    lines = [
        *(f"# Element.symbol: {target.element}", f"# Element.edge: {target.edge}"),
        *(f"# Target.source: {target.source}", f"{name},absorption", *rows),
    ]
    return "\n".join(lines) + "\n"
