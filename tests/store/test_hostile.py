"""Files that are no longer what was written, or that somebody made to do harm: every reader refuses
them in one sentence, before it allocates what they declare.
"""

import shutil
import tracemalloc

import h5py
import numpy as np
import pytest

from gcd_hpc.errors import StoreError
from gcd_hpc.store.checksums import (
    checksum,
)
from gcd_hpc.store.export import export
from gcd_hpc.store.findings import Report
from gcd_hpc.store.merge import merge
from gcd_hpc.store.parts import read_columns, read_part, read_provenance, write_part
from gcd_hpc.store.run import open_run
from gcd_hpc.store.verify import verify_file
from tests.store.synthetic import make_candidate, read_row

NUM = 420
ENERGY = "structures/gb_energy_j_m2"


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """So many rows that a single one is read without the others."""
    path = tmp_path_factory.mktemp("many") / "many.h5"
    config = "name: many\nboundary: {element: W}\n"
    write_part(path, [make_candidate(i, num_atoms=3) for i in range(NUM)], {"config": config})
    return path


@pytest.fixture
def path(many, tmp_path):
    return shutil.copyfile(many, tmp_path / "copy.h5")


def flip(path, dataset, place):
    """One bit of a number, as a disk might do it."""
    with h5py.File(path) as file:
        offset = file[dataset].id.get_offset() + 8 * place
    content = bytearray(path.read_bytes())
    content[offset + 6] ^= 0x04
    path.write_bytes(content)


def findings_of(path):
    report = Report()
    verify_file(path, report)
    return [str(finding) for finding in report.findings()]


@pytest.mark.parametrize("field", [ENERGY, "structures/n_fraction", "structures/num_atoms"])
def test_a_flipped_bit_in_a_single_row_is_refused_by_who_reads_only_that_row(path, field):
    assert read_row(path, 200).index == 200
    flip(path, field, 200)
    with pytest.raises(StoreError, match=r"copy\.h5: expected a complete HDF5 file"):
        read_row(path, 200)
    assert read_row(path, 201).index == 201
    with pytest.raises(StoreError, match=r"copy\.h5: expected a complete HDF5 file"):
        export(open_run(path)[["search-000200"]], "extxyz", path.parent / "one.xyz")


def test_changed_atoms_of_a_single_row_are_refused(path):
    with h5py.File(path, "r+") as file:
        file["atoms/energies_ev"][3 * 200 + 1] += 1e-9
    with pytest.raises(StoreError, match="checksum of row 200 does not fit"):
        read_row(path, 200)


def test_the_checksum_of_a_row_does_not_depend_on_its_file(many, tmp_path):
    """A merge of runs may write rows without computing anything about them anew."""
    write_part(tmp_path / "one.h5", [make_candidate(7, num_atoms=3)], {"config": ""})
    with h5py.File(many) as file, h5py.File(tmp_path / "one.h5") as other:
        assert file["structures/crc32"][7] == other["structures/crc32"][0]


def test_a_changed_attribute_is_refused_by_every_reader_and_found(path):
    content = path.read_bytes()
    assert content.count(b"element: W") == 1
    path.write_bytes(content.replace(b"element: W", b"element: V"))
    for read in (
        lambda: read_part(path),
        lambda: read_row(path, 0),
        lambda: read_columns([path], ["id"]),
        lambda: read_provenance(path),
        lambda: export(open_run(path), "poscar", path.parent / "out"),
    ):
        with pytest.raises(StoreError, match="checksum of the attributes of / does not fit"):
            read()
    assert any("checksum of the attributes" in line for line in findings_of(path))


def declare(path, name, **options):
    """Put another dataset in the place of one, under the same checksum."""
    with h5py.File(path, "r+") as file:
        attributes = dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, **options).attrs.update(attributes)


HOSTILE = {
    "numbers that are declared and not there": {"shape": (NUM,), "dtype": "<f8", "chunks": None},
    "a hundred thousand million numbers": {
        "shape": (10**11,),
        "dtype": "<f8",
        "chunks": (1 << 20,),
    },
    "no numbers at all": {"data": h5py.Empty("<f8")},
    "a single number": {"data": np.float64(2.0)},
    "fewer numbers than rows": {"data": np.zeros(NUM - 1)},
    "numbers of another kind": {"data": np.zeros(NUM, dtype="<f4")},
    "texts": {"data": ["x"] * NUM},
}


@pytest.mark.parametrize("options", HOSTILE.values(), ids=HOSTILE)
def test_what_the_schema_does_not_allow_is_refused_before_it_is_read(path, options):
    if options.get("chunks", ()) is None:
        options = {"shape": (NUM, 1 << 20), "dtype": "<f8"}
    declare(path, ENERGY, **options)
    tracemalloc.start()
    for read in (
        lambda: read_part(path),
        lambda: read_row(path, 0),
        lambda: read_columns([path], ["gb_energy_j_m2"]),
    ):
        with pytest.raises(StoreError, match=r"copy\.h5: .*gb_energy_j_m2"):
            read()
    assert findings_of(path)
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()


def test_no_dataset_may_lie_in_another_file(path, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(8 * NUM))
    declare(
        path, ENERGY, shape=(NUM,), dtype="<f8", external=[(str(tmp_path / "secret"), 0, 8 * NUM)]
    )
    with pytest.raises(StoreError, match="gb_energy_j_m2 lies in another file"):
        read_row(path, 0)


def rewrite(path, **values):
    """Other values with the right checksums, as anybody can make them."""
    with h5py.File(path, "r+") as file:
        for name, value in values.items():
            dataset = file[f"structures/{name}"]
            dataset[5] = value
            dataset.attrs["crc32"] = np.int64(checksum(dataset[...]))


@pytest.mark.parametrize("num", [-3, 0, 4, 10**12])
def test_rows_that_count_atoms_that_are_not_there_are_refused(path, num):
    rewrite(path, num_atoms=num)
    with pytest.raises(StoreError, match=r"copy\.h5: expected a complete HDF5 file"):
        read_part(path, [5])
    with pytest.raises(StoreError, match=r"copy\.h5: (expected|cannot be merged)"):
        merge([path], path.parent / "all.h5")
    assert sorted(one.name for one in path.parent.iterdir()) == ["copy.h5"]


def test_a_file_with_a_deep_or_a_folded_config_has_no_campaign(tmp_path):
    bomb = "a: &a [1, 1]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"
    for number, config in enumerate((bomb, "[" * 2000 + "]" * 2000, "boundary: 3", "{", "")):
        path = tmp_path / f"{number}.h5"
        write_part(path, [make_candidate(0)], {"config": config})
        with pytest.raises(StoreError, match=r"names no known boundary\.element"):
            export(open_run(path), "extxyz", tmp_path / "out.xyz")
