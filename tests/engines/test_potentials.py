"""Potentials are found where the user or LAMMPS put them, known by their content, and of the
boundary's element.
"""

import gzip
import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcd_hpc.config.campaign import PotentialConfig
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.potentials import Potential, copied_potential, find_potential
from gcd_hpc.engines.setfl import shortened
from gcd_hpc.errors import PotentialError

ZHOU = PotentialConfig(pair_style="eam/alloy", pair_coeff="* * {file} W", file="W_zhou.eam.alloy")
SETFL = "a\nb\nc\n1 W\n5 1.0 5 1.0 6.0\n74 183.84 3.165 BCC\n"
FUNCFL = "copper\n29 63.550 3.6150 FCC\n5 1.0 5 1.0 4.95\n"


def snap(first: str = "Ta.snapcoeff", second: str = "Ta.snapparam") -> PotentialConfig:
    lines = ("1 1 zbl 73 73", f"* * snap {{file}} {second} Ta")
    return PotentialConfig(
        pair_style="hybrid/overlay zbl 4.0 4.8 snap", pair_coeff=lines, file=first
    )


def write(folder: Path, **contents: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name.replace("_", ".")).write_text(content)
    return folder


@pytest.mark.lammps
def test_a_potential_is_found_among_those_that_lammps_ships(potential: Potential):
    assert potential.files["W_zhou.eam.alloy"].is_file()
    assert potential.pair_coeff == ("* * W_zhou.eam.alloy W",)


@pytest.mark.lammps
def test_the_campaigns_folder_comes_first_and_the_hash_does_not_depend_on_it(
    potential: Potential, tmp_path: Path
):
    shutil.copy(potential.files["W_zhou.eam.alloy"], tmp_path)
    copy = find_potential(ZHOU, "W", tmp_path)
    assert copy.files == {"W_zhou.eam.alloy": tmp_path / "W_zhou.eam.alloy"}
    assert copy.sha256 == potential.sha256


def test_the_hash_is_that_of_earlier_versions(tmp_path: Path):
    """Runs that users have go on: sha256 of the commands, the element and the file's content."""
    (tmp_path / "W_zhou.eam.alloy").write_text(SETFL)
    expected = hashlib.sha256(f"eam/alloy\n* * {{file}} W\nW\n{SETFL}".encode()).hexdigest()
    assert find_potential(ZHOU, "W", tmp_path).sha256 == expected


@pytest.mark.parametrize("changed", ["Ta.snapcoeff", "Ta.snapparam"])
def test_another_content_of_any_file_is_another_potential(changed: str, tmp_path: Path):
    write(tmp_path, Ta_snapcoeff="one", Ta_snapparam="two")
    before = find_potential(snap(), "Ta", tmp_path)
    (tmp_path / changed).write_text("three")
    assert find_potential(snap(), "Ta", tmp_path).sha256 != before.sha256


def test_files_of_the_same_content_at_other_paths_are_the_same_potential(tmp_path: Path):
    here = write(tmp_path / "here", Ta_snapcoeff="one", Ta_snapparam="two")
    write(tmp_path / "there", a_coeff="one", b_param="two")
    named = snap("../there/a.coeff", str(tmp_path / "there" / "b.param"))
    assert find_potential(named, "Ta", here).sha256 == find_potential(snap(), "Ta", here).sha256


def test_files_with_names_are_the_potential_of_files_in_their_places(tmp_path: Path):
    """A file may stand in pair_style, and several times."""
    folder = write(tmp_path, Ta_model="one", Ta_descriptor="two", Ta_table="three")
    lines = ("1 1 table {table} A", "1 1 table {table} B", "* * mliap Ta")
    style = "hybrid/overlay table linear 9 mliap model linear {model} descriptor sna {descriptor}"
    files = {"model": "Ta.model", "descriptor": "Ta.descriptor", "table": "Ta.table"}
    named = PotentialConfig(pair_style=style, pair_coeff=lines, files=files)
    plain = PotentialConfig(
        pair_style=style.format(**files), pair_coeff=tuple(line.format(**files) for line in lines)
    )
    found = find_potential(named, "Ta", folder)
    assert found == find_potential(plain, "Ta", folder)
    assert sorted(found.files) == ["Ta.descriptor", "Ta.model", "Ta.table"]


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"files": {"a": "x", "b": "y"}}, "must contain {b}, where the path of y goes"),
        ({"pair_style": "snap {b}", "files": {"b": "y"}}, "must name the file of {a}, got ['b']"),
        ({"files": {"a": "x", "a b": "y"}}, "must have names of letters and digits, got 'a b'"),
        ({"files": {"a": "x", "file": "y"}, "file": "z"}, "must not name a file twice"),
    ],
)
def test_names_of_files_and_braces_belong_together(keys: dict[str, Any], sentence: str):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        PotentialConfig(**{"pair_style": "snap", "pair_coeff": "* * {a} Ta"} | keys)


@pytest.mark.parametrize(
    "first", ["Ta.snapcoeff", "./Ta.snapcoeff", "../other/Ta.snapcoeff", "sub/Ta.snapcoeff", "/"]
)
def test_copies_of_all_files_make_the_same_potential(first: str, tmp_path: Path):
    folder = write(tmp_path / "here", Ta_snapcoeff="one", Ta_snapparam="two")
    for other in (folder / "sub", tmp_path / "other"):
        write(other, Ta_snapcoeff="three")
    config = snap(str(folder / "Ta.snapcoeff") if first == "/" else first)
    found = find_potential(config, "Ta", folder)
    copies = write(tmp_path / "copies")
    for name, file in found.files.items():
        shutil.copy(file, copies / name)
    copied = copied_potential(config, "Ta", copies)
    assert (copied.sha256, copied.pair_coeff) == (found.sha256, found.pair_coeff)
    assert {file.parent for file in copied.files.values()} == {copies}


def test_a_file_called_like_an_element_or_a_number_is_not_taken_for_a_potential(tmp_path: Path):
    write(tmp_path, W="a structure", snap="a note")
    (tmp_path / "4.8").write_text("a number")
    (tmp_path / "W_zhou.eam.alloy").write_text(SETFL)
    assert list(find_potential(ZHOU, "W", tmp_path).files) == ["W_zhou.eam.alloy"]


def test_a_potential_without_a_file_is_its_two_commands(tmp_path: Path):
    potential = find_potential(
        PotentialConfig(pair_style="lj/cut 8", pair_coeff="* * 0.3 2.5"), "Ar", tmp_path
    )
    assert (potential.pair_coeff, potential.files) == (("* * 0.3 2.5",), {})


@pytest.mark.lammps
@pytest.mark.parametrize("folder", ["Müller", "日本", "a b", "it's", "(1) [2]", 'say "W"', "$x#y&"])
def test_lammps_reads_a_potential_from_any_folder(
    folder: str, potential: Potential, tmp_path: Path
):
    (tmp_path / folder).mkdir()
    shutil.copy(potential.files["W_zhou.eam.alloy"], tmp_path / folder / "W ü.eam.alloy")
    found = find_potential(
        ZHOU.model_copy(update={"file": "W ü.eam.alloy"}), "W", tmp_path / folder
    )
    box = np.array([[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]])
    with LammpsChild(found, 60.0) as child:
        assert np.isfinite(child.evaluate(np.full((1, 3), 4.0), box, periodic_z=True).energies)


@pytest.mark.parametrize(
    ("style", "line", "element", "content", "sentence"),
    [
        ("eam/alloy", "* * a.pot W", "Cu", SETFL, "* * a.pot W is a potential of W, but"),
        (
            "eam/alloy",
            "* * a.pot Cu",
            "Cu",
            SETFL,
            "a.pot holds W, but the",
        ),
        ("eam/alloy/omp", "* * a.pot W", "Cu", SETFL, "is a potential of W"),
        ("eam", "* * a.pot", "Ni", FUNCFL, "is a potential of Cu"),
        ("hybrid eam", "1 1 eam a.pot", "Ni", FUNCFL, "is a potential of Cu"),
        ("tersoff", "* * a.pot Si", "C", "", "is a potential of Si"),
        ("hybrid/overlay zbl 4 5 snap", "1 1 zbl 73 73", "W", "", "is a potential of Ta"),
        ("hybrid/overlay sw sw", "* * sw 2 a.pot Si", "Ge", "", "is a potential of Si"),
        ("meam", "* * a.pot Al Cu NULL Cu", "Al", "", "is a potential of Cu"),
        ("meam", "* * a.pot X4 NULL X4", "Cu", "'X4' 'fcc' 12 28 58.7\n", "potential of Ni"),
        ("meam", "* * a.pot Cu NULL Cu", "Cu", "'Ni' 'fcc' 12 28 58.7\n", "a.pot holds Ni, but"),
        ("sw", "* * a.pot Cu", "Cu", "Si Si Si 2.1\n", "a.pot holds Si, but"),
        ("snap", "* * a.pot Cu", "Cu", "1 2\nTa 0.5 1\n-2.9\n", "a.pot holds Ta, but"),
        ("bop", "* * a.pot Cu", "Cu", "# a\n 1\n 13 26.98 Al\n", "a.pot holds Al, but"),
        ("pace", "* * a.pot Cu", "Cu", "nelements=1\nelements: Ni\n", "a.pot holds Ni, but"),
        ("mliap descriptor sna a.pot", "* * Cu", "Cu", "elems Ni\n", "a.pot holds Ni, but"),
    ],
)
def test_a_potential_of_another_element_is_refused(
    style: str, line: str, element: str, content: str, sentence: str, tmp_path: Path
):
    (tmp_path / "a.pot").write_text(content)
    config = PotentialConfig(pair_style=style, pair_coeff=line)
    with pytest.raises(PotentialError, match=re.escape(sentence)) as refused:
        find_potential(config, element, tmp_path)
    assert f"the campaign's element is {element}" in str(refused.value)


@pytest.mark.parametrize(
    ("style", "line", "element", "content"),
    [
        ("eam/fs", "* * a.pot W", "W", SETFL.replace("1 W", "2 Re W")),
        ("eam/alloy", "* * a.pot W1", "W", SETFL.replace("1 W", "1 W1")),
        ("eam", "* * a.pot", "Cu", FUNCFL),
        ("meam", "* * a.pot X4 NULL X4", "Ni", "'X4' 'fcc' 12 28 58.7\n"),
        # A library that gives all elements the number 1.
        ("meam", "* * a.pot Mo NULL Mo", "Mo", "'Mo' 'bcc' 8 1 89.96\n"),
        ("sw", "* * a.pot Si", "Si", " Si Si Si 2.1\n"),
        ("table linear 1000", "* * a.pot N 5.0", "Ar", ""),
        ("morse 5.2", "* * 0.3429 1.3588 2.866", "Cu", ""),
    ],
)
def test_a_potential_of_the_boundarys_element_is_taken(
    style: str, line: str, element: str, content: str, tmp_path: Path
):
    (tmp_path / "a.pot").write_text(content)
    config = PotentialConfig(pair_style=style, pair_coeff=line)
    assert find_potential(config, element, tmp_path).elements == (element,)


@pytest.mark.parametrize(
    ("changes", "element", "message"),
    [
        ({"file": "nowhere.eam"}, "W", "'nowhere.eam' not found in "),
        ({"pair_coeff": "* * {file} no.param W"}, "W", "'no.param' not found in "),
        ({"pair_coeff": "* * '{file} W"}, "W", "a quotation mark has no partner"),
        ({"pair_style": "# eam"}, "W", "must not be empty"),
        ({}, "Wo", "must be the symbol of a chemical element, got 'Wo'"),
        ({"file": "packed.gz"}, "W", "packed.gz is compressed; unpack it with gunzip"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(
    changes: dict[str, str], element: str, message: str, tmp_path: Path
):
    (tmp_path / "W_zhou.eam.alloy").write_text(SETFL)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(SETFL.encode()))
    with pytest.raises(PotentialError, match=re.escape(message)):
        find_potential(ZHOU.model_copy(update=changes), element, tmp_path)


@pytest.mark.lammps
def test_a_shortened_potential_differs_in_the_cutoff_alone(potential: Potential):
    short = potential.shortened()
    assert short is not None
    (content,), (path,) = short.made.values(), potential.files.values()
    after, before = content.decode().splitlines(), path.read_text().splitlines()
    assert [n for n, pair in enumerate(zip(after, before, strict=True)) if len(set(pair)) > 1] == [
        4
    ]
    assert after[4].split()[:4] == before[4].split()[:4]
    # Beyond 6.05 Å the tables of W_zhou are below 1e-8 eV.
    assert float(after[4].split()[4]) == pytest.approx(6.05, abs=0.01)
    assert short.pair_coeff == potential.pair_coeff
    assert short.sha256 != potential.sha256


@pytest.mark.lammps
@pytest.mark.parametrize(
    ("style", "element", "file"),
    [("eam/alloy", "Cu", "Cu_mishin1.eam.alloy"), ("tersoff", "Si", "Si.tersoff")],
)
def test_a_potential_without_a_negligible_tail_is_not_shortened(
    style: str, element: str, file: str
):
    config = PotentialConfig(pair_style=style, pair_coeff=f"* * {{file}} {element}", file=file)
    assert find_potential(config, element, Path()).shortened() is None


def test_a_file_that_is_no_table_is_not_shortened():
    assert shortened(b"") is None
    assert shortened(SETFL.encode()) is None
