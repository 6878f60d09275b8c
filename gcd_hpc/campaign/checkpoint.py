"""Checkpoints of long ledgers in the user's cache folder: each line is parsed once.

A checkpoint holds the state after the first lines of one ledger. It is used only as long as these
lines are unchanged, which their checksum shows; reading then continues behind them.

The file is a line of checksums, and the checkpoint as JSON that is validated by the types of its
fields, as the lines of a ledger are: such a file can hold numbers and text, and never code.
"""

import gc
import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

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
            with _without_collector():
                return _adapter().validate_json(body)
    return None


def save_checkpoint(ledger: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint of a ledger, unless there is no cache folder or no space in it."""
    place = cache_file("ledger", ledger, ".state")
    if place is None:
        return
    body = _adapter().dump_json(checkpoint)
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
    return checksums | {"layout": _layout()} | package_provenance()


@cache
def _adapter() -> TypeAdapter[Checkpoint]:
    return TypeAdapter(Checkpoint)


@cache
def _layout() -> str:
    """Hash of the names, types and defaults of all fields, which differ between versions."""
    return hashlib.sha256(json.dumps(_adapter().json_schema()).encode()).hexdigest()


@contextmanager
def _without_collector() -> Iterator[None]:
    """Pause the collector of cycles, which otherwise takes two thirds of the time of loading."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
