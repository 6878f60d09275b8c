"""The heap of texts in a file: HDF5 loops forever on some kinds of damage there."""

import shutil
import struct
from pathlib import Path

import pytest

from gcd_hpc.store.heap import check_heap

GOLDEN = Path(__file__).with_name("golden_v7.h5")
SIGNATURE = b"GCOL"
FIRST_OBJECT = 16
"""Bytes of the head of a collection."""


def objects(content):
    """Places in the file of the objects of its last collection, whose free space is the last."""
    start = content.rindex(SIGNATURE)
    (length,) = struct.unpack_from("<Q", content, start + 8)
    place, found = start + FIRST_OBJECT, []
    while start + length - place >= 16:
        number, size = struct.unpack_from("<H6xQ", content, place)
        found.append(place)
        place += 16 + (size + 7) // 8 * 8 if number else size
    return found


@pytest.fixture
def damaged(tmp_path):
    """The golden file, in which the object with a number has another size."""

    def damage(which, size):
        path = tmp_path / "damaged.h5"
        shutil.copy(GOLDEN, path)
        content = bytearray(path.read_bytes())
        struct.pack_into("<Q", content, objects(bytes(content))[which] + 8, size)
        path.write_bytes(content)
        return path

    return damage


def test_every_golden_file_is_sound():
    for path in GOLDEN.parent.glob("golden_v*.h5"):
        check_heap(path)
    content = GOLDEN.read_bytes()
    numbers = [struct.unpack_from("<H", content, place)[0] for place in objects(content)]
    assert numbers[-1] == 0 and all(numbers[:-1])


@pytest.mark.parametrize("size", [0, 1, 7, 13, 1 << 40, 2**64 - 1])
def test_free_space_without_a_length_or_of_no_whole_words_is_refused(damaged, size):
    with pytest.raises(ValueError, match="heap of texts"):
        check_heap(damaged(-1, size))


@pytest.mark.parametrize("size", [1 << 20, 1 << 40, 2**64 - 1])
def test_a_text_that_reaches_beyond_its_collection_is_refused(damaged, size):
    with pytest.raises(ValueError, match="heap of texts"):
        check_heap(damaged(0, size))
