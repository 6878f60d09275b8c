"""Check of an HDF5 file's global heap, which holds its texts, before the library reads it.

On some kinds of damage there the HDF5 library loops forever.
"""

import struct
from pathlib import Path

import numpy as np

MAX_BYTES = 64 << 20
"""Largest file that is checked, bytes; texts are a small part of larger files."""
_COLLECTION = struct.Struct("<4sB3xQ")
_WORD, _NUMBER = 8, 0xFFFF
"""Bytes of a word, and the bits of an object's first word that hold its number."""


def check_heap(path: Path) -> None:
    """Check that every heap collection can be walked to its end.

    Source: HDF5 File Format Specification, III.E, global heap.

    Raises:
        ValueError: if an object has no length, no whole words or reaches beyond its collection.
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


def _walk(content: bytes, start: int, end: int) -> None:
    """Walk from object to object; each begins with a word with its number and one with its size."""
    num_words = (end - start) // _WORD
    words = np.frombuffer(content, "<u8", num_words, start).tolist()
    place, last = 0, num_words - 2
    while place <= last:
        size = words[place + 1]
        if words[place] & _NUMBER:  # a text, padded to whole words
            place += 2 + -(-size // _WORD)
        elif size and size % _WORD == 0:  # free space, whose size includes its header
            place += size // _WORD
        else:
            raise ValueError("the heap of texts is damaged")
    if place > num_words:
        raise ValueError("the heap of texts is damaged")
