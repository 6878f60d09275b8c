"""Atomic file writes: a temporary file beside the target, flushed to disk, then renamed."""

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from gcd_hpc.errors import RunDirectoryError

GZIP = b"\x1f\x8b"
"""Beginning of a file that gzip packed."""
_ZEROS = bytes(1 << 20)
_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{12}\.tmp(\..*)?", re.DOTALL)
_DESCRIPTOR = re.compile(r"/dev/fd/(\d+)|/proc/self/fd/(\d+)")
_STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}


@contextmanager
def replacing(path: Path, flush: bool = True) -> Iterator[Path]:
    """Temporary name beside ``path``, renamed to ``path`` when the block ends without an error.

    Args:
        flush: wait until the content is on disk; not needed for files that can be made again after
            a power failure.

    Raises:
        RunDirectoryError: if the folder is read-only or the disk is full; then nothing is left
            behind.
    """
    temporary = _temporary_beside(path)
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


def link_or_copy(file: Path, target: Path) -> None:
    """Make ``target`` a hard link to a file, or a copy where the file system has no links.

    Raises:
        RunDirectoryError: if the folder is read-only or the disk is full.
    """
    with replacing(target) as temporary:
        try:
            os.link(file, temporary)
        except OSError:
            shutil.copy2(file, temporary)


@contextmanager
def output(path: Path) -> Iterator[Path]:
    """Temporary name for an output file that the user named.

    A regular file is replaced, also the target of a symbolic link. A pipe or a device, such as
    ``/dev/stdout``, gets the bytes when they are complete.

    Raises:
        RunDirectoryError: if the target is a folder, a socket or a disk, or cannot be written.
    """
    if is_stream(path):
        with tempfile.TemporaryDirectory(prefix="gcd-hpc-") as folder:
            temporary = Path(folder, f"out{path.suffix}")
            yield temporary
            _send(temporary, path)
        return
    if path.is_dir():
        raise RunDirectoryError(f"cannot write {path}: it is a folder; name a file")
    if path.exists() and not path.is_file():
        raise RunDirectoryError(f"cannot write {path}: it is no regular file; name another")
    with replacing(Path(os.path.realpath(path))) as temporary:
        yield temporary


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """Temporary folder for several files, moved into ``path`` when the block ends without an error.

    A full disk thus leaves no incomplete file.

    Raises:
        RunDirectoryError: if ``path`` is no folder or cannot be written to.
    """
    if path.exists() and not path.is_dir():
        raise RunDirectoryError(f"cannot write to {path}: it is no folder; name a folder")
    path = Path(os.path.realpath(path))
    temporary = _temporary_beside(path)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for file in sorted(temporary.iterdir()):
            _flush(file)
        path.mkdir(exist_ok=True)
        for file in sorted(temporary.iterdir()):
            os.replace(file, path / file.name)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_checked_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON with a checksum, so that an edited number is not taken for a measured one.

    Raises:
        RunDirectoryError: if it cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content | {"sha256": _sha256_of(content)}, indent=1))


def checked_content(data: Any) -> dict[str, Any] | None:
    """Content of a file of ``write_checked_json``, parsed; None if its checksum does not fit."""
    if not isinstance(data, dict):
        return None
    content = {name: value for name, value in data.items() if name != "sha256"}
    return content if data.get("sha256") == _sha256_of(content) else None


def _sha256_of(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def cache_folder() -> Path | None:
    """The user's cache folder for what can be made again; None if there is no home folder."""
    try:
        place = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(place) / "gcd-hpc"


def cache_file(kind: str, source: Path, suffix: str) -> Path | None:
    """File for a kind of copy of a run or file; None if there is no home folder.

    The folder is made readable for the user alone.
    """
    folder = cache_folder()
    if folder is None:
        return None
    with suppress(OSError):  # who writes the file reports the error
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = hashlib.sha256(os.fsencode(os.path.realpath(source))).hexdigest()[:24]
    return folder / f"{kind}-{name}{suffix}"


def is_stream(path: Path) -> bool:
    """Whether a path is a pipe or a device, which takes bytes and keeps no file."""
    if _descriptor_of(path) is not None:
        return True
    with suppress(OSError, ValueError):
        mode = os.stat(path).st_mode
        return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
    return False


def cannot_write(path: Path | str, error: Exception) -> RunDirectoryError:
    """Error for a file that could not be written."""
    reason = str(getattr(error, "strerror", None) or error)
    cure = ""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        cure = "; free some and run the same command again"
    return RunDirectoryError(f"cannot write {path}: {reason[:1].lower()}{reason[1:]}{cure}")


def reserve(path: Path, num_bytes: int) -> None:
    """Check that the disk has room for this many bytes, by writing and deleting a file.

    Raises:
        OSError: if the disk, the quota or the limit of the process does not allow it.
    """
    with path.open("wb") as file:
        for start in range(0, num_bytes, len(_ZEROS)):
            file.write(_ZEROS[: num_bytes - start])
    path.unlink()


def is_leftover(path: Path) -> bool:
    """Whether a killed ``replacing`` left this file; its name holds twelve random hex digits."""
    return bool(_LEFTOVER.fullmatch(path.name)) and path.is_file() and not path.is_symlink()


def _temporary_beside(path: Path) -> Path:
    """Unique hidden name beside a path.

    The suffix stays, because writers of figures and structures choose the format by it. The dot
    hides the file from ``part-*.h5``.
    """
    if not path.name:
        raise RunDirectoryError(f"cannot write {path}: it is a folder; name a file")
    return path.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}.tmp{path.suffix}")


def _descriptor_of(path: Path) -> int | None:
    """File descriptor that a path such as ``/dev/stdout`` stands for; None for other paths."""
    place = os.path.abspath(path)
    if found := _DESCRIPTOR.fullmatch(place):
        return int(found[1] or found[2])
    return _STANDARD.get(place)


def _send(source: Path, target: Path) -> None:
    descriptor = _descriptor_of(target)
    sys.stdout.flush()
    try:
        with source.open("rb") as content, _opened(target, descriptor) as stream:
            shutil.copyfileobj(content, stream)
    except OSError as error:
        raise cannot_write(target, error) from error


def _opened(target: Path, descriptor: int | None) -> BinaryIO:
    # Opening /dev/stdout again would truncate the file to which the shell has redirected it.
    return target.open("wb") if descriptor is None else os.fdopen(os.dup(descriptor), "wb")


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
