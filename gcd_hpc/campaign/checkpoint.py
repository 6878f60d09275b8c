"""Checkpoints of long ledgers in the user's cache folder: each line is parsed once.

A checkpoint holds the state after the first lines of one ledger. It is used only as long as these
lines are unchanged, which their checksum shows; reading then continues behind them.
"""

import gc
import hashlib
import io
import json
import os
import pickle
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from gcd_hpc.campaign import events, state, waiting
from gcd_hpc.campaign.events import LineReader
from gcd_hpc.campaign.state import State
from gcd_hpc.errors import RunDirectoryError
from gcd_hpc.files import cache_file, replacing
from gcd_hpc.store.provenance import package_provenance

MIN_EVENTS = 20_000
"""Events read at one call from which on a checkpoint is written; fewer are read within 0.3 s."""
_PIECE = 1 << 20


@dataclass
class Checkpoint:
    """State of a ledger after its first lines."""

    state: State | None
    lines: LineReader
    offset: int
    """Length of these lines in bytes."""
    file_id: tuple[int, int]
    """Device and inode of the ledger."""


_CLASSES: set[type[Any]] = {Checkpoint} | {
    one
    for module in (state, events, waiting)
    for one in vars(module).values()
    if isinstance(one, type) and is_dataclass(one)
}
_KNOWN = {(one.__module__, one.__qualname__): one for one in _CLASSES | {Counter, defaultdict, set}}
_LAYOUT = hashlib.sha256(
    repr(sorted((str(one), [field.name for field in fields(one)]) for one in _CLASSES)).encode()
).hexdigest()
"""Hash of the fields of all classes of a checkpoint, which differ between versions."""


class _Unpickler(pickle.Unpickler):
    """Unpickler of plain data: it makes the classes of a checkpoint and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a checkpoint")
        return _KNOWN[module, name]


def load_checkpoint(ledger: Path) -> Checkpoint | None:
    """Checkpoint of the first lines of a ledger; None if there is none or the lines have changed.

    A file that is damaged, or that another user owns or may write to, is not used.
    """
    place = cache_file("ledger", ledger, ".state")
    if place is None:
        return None
    with suppress(OSError, ValueError, KeyError, TypeError), place.open("rb") as file:
        status = os.fstat(file.fileno())
        header, body = json.loads(file.readline()), file.read()
        is_private = status.st_uid == os.geteuid() and not status.st_mode & 0o022
        if is_private and header == _header(ledger, header["offset"], body):
            with suppress(pickle.UnpicklingError), _without_collector():
                found: Checkpoint = _Unpickler(io.BytesIO(body)).load()
                return found
    return None


def save_checkpoint(ledger: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint of a ledger, unless there is no cache folder or no space in it."""
    place = cache_file("ledger", ledger, ".state")
    if place is None:
        return
    body = pickle.dumps(checkpoint, protocol=5)
    with suppress(OSError, ValueError, RunDirectoryError):
        header = json.dumps(_header(ledger, checkpoint.offset, body)).encode()
        with replacing(place, flush=False) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_bytes(header + b"\n" + body)


def _header(ledger: Path, offset: int, body: bytes) -> dict[str, Any]:
    """Checksums of the first ``offset`` bytes of a ledger and of its checkpoint, and its origin."""
    crc, left = 0, offset
    with open(ledger, "rb") as file:
        while piece := file.read(min(left, _PIECE)):
            crc, left = zlib.crc32(piece, crc), left - len(piece)
    if left:
        raise ValueError(f"{ledger} is shorter than {offset} bytes")
    checksums = {"offset": offset, "ledger": crc, "body": zlib.crc32(body)}
    # Another version may count in another way.
    return checksums | {"layout": _LAYOUT} | package_provenance()


@contextmanager
def _without_collector() -> Iterator[None]:
    """Pause the collector of cycles, which otherwise takes two thirds of the time of unpickling."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
