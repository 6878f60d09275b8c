"""HDF5 files that are not trusted: opened, and their datasets checked before anything is allocated.

They may be cut short, damaged, or made to do harm.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from gcd_hpc.errors import FileFault, StoreError, printable
from gcd_hpc.store.heap import check_heap

_MAX_PACKING, _SLACK_BYTES = 1100, 1 << 20
"""Largest ratio of declared to stored bytes (gzip reaches 1030), and the slack in bytes."""


@contextmanager
def opened(path: Path, what: str) -> Iterator[h5py.File]:
    """HDF5 file that is open for reading while the block runs.

    Args:
        what: description of the expected file, for the message.

    Raises:
        StoreError: naming the file, for every fault that the block or HDF5 finds in it.
    """
    if not path.is_file():
        raise FileFault(str(path), "", what, what_is_at(path))
    try:
        check_heap(path)
        # Files never change under their final name, so no lock is needed; locks fail on some
        # cluster file systems.
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except FileFault as error:
        raise FileFault(error.file or str(path), error.field, error.expected, error.got) from error
    except StoreError as error:
        if str(path) in str(error):
            raise
        raise StoreError(f"{path}: {error}") from error
    except (
        *(OSError, KeyError, ValueError, RuntimeError, TypeError, UnicodeDecodeError),
        *(MemoryError, OverflowError),
    ) as error:
        got = f"a truncated or corrupt one ({_first_line(error)})"
        raise FileFault(str(path), "", "a complete HDF5 file", got) from error


def only_dataset(file: h5py.File, path: str) -> h5py.Dataset:
    """Dataset with rows that lies in this file itself and not in a linked one.

    Raises:
        ValueError: if there is none.
    """
    # Single rows are read from dozens of datasets, and h5py's own way here costs twice as much.
    try:
        found = h5py.h5o.open(file.id, path.encode())
    except KeyError:
        found = None
    if not isinstance(found, h5py.h5d.DatasetID) or not found.rank:
        raise ValueError(f"{path} is no dataset of rows")
    created = found.get_create_plist()
    is_elsewhere = h5py.h5f.get_name(found) != h5py.h5f.get_name(file.id)
    if is_elsewhere or created.get_external_count() or created.get_layout() == h5py.h5d.VIRTUAL:
        raise ValueError(f"{path} lies in another file")
    return h5py.Dataset(found, readonly=True)


def check_stored(dataset: h5py.Dataset) -> None:
    """Check that a dataset does not declare more data than the file can hold.

    Raises:
        ValueError: if it does; no memory must be allocated for it.
    """
    declared, stored = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
    if declared > stored * (_MAX_PACKING if dataset.chunks else 1) + _SLACK_BYTES:
        path = dataset.name.removeprefix("/")
        raise ValueError(f"{path} declares {declared:,} bytes and stores {stored:,}")


def is_text(dataset: h5py.Dataset) -> bool:
    """Whether a dataset holds UTF-8 texts of any length."""
    text = h5py.check_string_dtype(dataset.dtype)
    return text is not None and text.encoding == "utf-8" and text.length is None


def what_is_at(path: Path) -> str:
    """Words for an error message about a path that is no regular file."""
    if path.is_dir():
        return "a folder"
    return "something that is no file" if path.exists() else "no such file"


def _first_line(error: BaseException) -> str:
    text = str(error.args[0]) if error.args else type(error).__name__
    line = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    return printable(line[:300])
