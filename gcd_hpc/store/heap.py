"""The heap of an HDF5 file, where texts lie, looked at before the library reads it: on some damage
there it never returns.
"""

import struct
from pathlib import Path

MAX_BYTES = 64 << 20
"""Larger files are not looked at; their texts are a small part of them."""
_COLLECTION, _OBJECT = struct.Struct("<4sB3xQ"), struct.Struct("<HHIQ")


def check_heap(path: Path) -> None:
    """See that every collection of texts can be walked through to its end.

    Source: HDF5 File Format Specification, III.E, global heap.

    Raises:
        ValueError: if the library would walk in a circle or beyond the end.
        OSError: if the file cannot be read.
    """
    if path.stat().st_size > MAX_BYTES:
        return
    content = path.read_bytes()
    start = content.find(b"GCOL")
    while start >= 0:
        if len(content) - start >= _COLLECTION.size:
            _, version, size = _COLLECTION.unpack_from(content, start)
            # Other bytes may spell the signature by chance.
            if version == 1 and _COLLECTION.size <= size <= len(content) - start:
                _walk(content, start + _COLLECTION.size, start + size)
        start = content.find(b"GCOL", start + 4)


def _walk(content: bytes, place: int, end: int) -> None:
    while end - place >= _OBJECT.size:
        number, _, _, size = _OBJECT.unpack_from(content, place)
        # Texts are padded to eight bytes; number 0 is free room, its header included.
        step = _OBJECT.size + (size + 7) // 8 * 8 if number else size
        if not 0 < step <= end - place:
            raise ValueError("the heap of texts is damaged")
        place += step
