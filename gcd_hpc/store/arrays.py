"""Arrays of one measurement in an HDF5 file, each with a CRC-32 checksum."""

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from gcd_hpc.errors import StoreError
from gcd_hpc.files import replacing
from gcd_hpc.store.checksums import checksum


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays of numbers; an existing file is replaced when the new one is complete.

    Raises:
        RunDirectoryError: if the file cannot be written.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for name, values in arrays.items():
            dataset = file.create_dataset(name, data=np.asarray(values))
            dataset.attrs["crc32"] = np.int64(checksum(dataset[...]))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of ``write_arrays``.

    Raises:
        StoreError: if the file is missing, cut short, or was changed.
    """
    cure = "remove it with the .json beside it, and measure again"
    try:
        with h5py.File(path, "r", locking=False) as file:
            found = {name: dataset[...] for name, dataset in file.items()}
            sums = {name: int(dataset.attrs["crc32"]) for name, dataset in file.items()}
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise StoreError(f"{path}: the arrays cannot be read ({error}); {cure}") from error
    for name, values in found.items():
        if checksum(values) != sums[name]:
            raise StoreError(f"{path}: {name} does not have its checksum; {cure}")
    return found
