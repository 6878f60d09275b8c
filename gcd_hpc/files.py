"""Files that are either complete or not there: written beside their place, flushed to the disk,
then renamed.
"""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gcd_hpc.errors import RunDirectoryError

_ZEROS = bytes(1 << 20)


@contextmanager
def replacing(path: Path, flush: bool = True) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; it takes the name ``path`` when the block ends
    without an error.

    Args:
        flush: wait until it is on the disk; not needed for what can be made again after a power
            failure.

    Raises:
        RunDirectoryError: if the folder is read-only or the disk is full; nothing is left behind
            then.
    """
    # The suffix stays, because writers of figures and structures choose the format by it; the dot
    # hides it from ``part-*.h5``.
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if flush:
            _flush(temporary)
        os.replace(temporary, path)
        if flush:
            _flush(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def cannot_write(path: Path | str, error: Exception) -> RunDirectoryError:
    """The sentence about a file that could not be written."""
    reason = str(getattr(error, "strerror", None) or error)
    cure = ""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        cure = "; free some and run the same command again"
    return RunDirectoryError(f"cannot write {path}: {reason[:1].lower()}{reason[1:]}{cure}")


def reserve(path: Path, num_bytes: int) -> None:
    """Take and give back that much room on the disk.

    Raises:
        OSError: if the disk, the quota or the limit of the process does not have it.
    """
    with path.open("wb") as file:
        for start in range(0, num_bytes, len(_ZEROS)):
            file.write(_ZEROS[: num_bytes - start])
    path.unlink()


def remove_leftovers(folder: Path) -> int:
    """Delete what killed writers left below a folder. Only while nobody writes there."""
    leftovers = list(folder.rglob(".*.tmp*"))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
