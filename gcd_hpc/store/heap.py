"""Check of an HDF5 file's global heap, which holds its texts, before the library reads it.

On some kinds of damage there the HDF5 library loops forever.
"""

import struct
from pathlib import Path

MAX_BYTES = 64 << 20
"""Largest file that is checked, bytes; texts are a small part of larger files."""
_COLLECTION, _OBJECT = struct.Struct("<4sB3xQ"), struct.Struct("<H6xQ")


def check_heap(path: Path) -> None:
    """Check that every heap collection can be walked to its end.

    Source: HDF5 File Format Specification, III.E, global heap.

    Raises:
        ValueError: if an object has no length or reaches beyond its collection.
        OSError: if the file cannot be read.
    """
    if path.stat().st_size > MAX_BYTES:
        return
    content = path.read_bytes()
    start = content.find(b"GCOL")
    while start >= 0:
        if len(content) - start >= _COLLECTION.size:
            _, version, size = _COLLECTION.unpack_from(content, start)
            # The signature may also occur by chance in other data.
            if version == 1 and _COLLECTION.size <= size <= len(content) - start:
                _walk(content, start + _COLLECTION.size, start + size)
        start = content.find(b"GCOL", start + 4)


def _walk(content: bytes, place: int, end: int) -> None:
    unpack, header = _OBJECT.unpack_from, _OBJECT.size
    while end - place >= header:
        number, size = unpack(content, place)
        # Texts are padded to eight bytes; object 0 is free space, whose size includes its header.
        step = header + (size + 7) // 8 * 8 if number else size
        if not 0 < step <= end - place:
            raise ValueError("the heap of texts is damaged")
        place += step
