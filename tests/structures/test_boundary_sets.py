"""Sets of boundaries that a file does not list one by one."""

from pathlib import Path

import pytest

from gcd_hpc.config.loader import dump_set, load_campaign_or_set
from gcd_hpc.config.set import SetConfig
from gcd_hpc.errors import ConfigError
from gcd_hpc.structures.boundary_sets import read_campaign_or_set
from gcd_hpc.structures.catalogue import named_boundaries

SET = """\
name: tilts
boundary: {element: Cu, lattice: LATTICE}
boundaries:
  - all: ALL
    replicas: [1, 2]
  - {name: other, sigma: 5, axis: [0, 0, 1], twist: true}
potential: {pair_style: eam/alloy, pair_coeff: "* * {file} Cu", file: Cu_mishin1.eam.alloy}
search: {num_tries: 4}
sampling: {num_candidates: 4}
"""
TILTS = "{axis: [0, 0, 1], max_sigma: 13, kind: symmetric-tilt}"


def read(folder: Path, wanted: str = TILTS, lattice: str = "fcc") -> SetConfig:
    file = folder / "s.yaml"
    file.write_text(SET.replace("ALL", wanted).replace("LATTICE", lattice))
    config = read_campaign_or_set(file)
    assert isinstance(config, SetConfig)
    return config


def test_all_stands_for_the_boundaries_that_the_list_shows(tmp_path):
    members = read(tmp_path).members()
    assert list(members) == ["s5_310", "s5_210", "s13_510", "s13_320", "other"]
    listed = named_boundaries("Cu", "fcc", (0, 0, 1), 13, 1)
    tilts = [one for one in listed if one.kind == "symmetric tilt"]
    for one, member in zip(tilts, members.values(), strict=False):
        expected = one.config.model_copy(update={"replicas": (1, 2)})
        assert member.boundary == expected


def test_the_copy_of_a_run_directory_lists_every_boundary(tmp_path):
    config = read(tmp_path)
    (tmp_path / "copy.yaml").write_text(dump_set(config))
    assert load_campaign_or_set(tmp_path / "copy.yaml") == config


@pytest.mark.parametrize("axis", [(0, 0, 1), (1, 1, 0), (1, 1, 1), (1, 1, 2)])
def test_names_of_listed_boundaries_differ_and_name_folders(tmp_path, axis):
    names = [one.name for one in named_boundaries("Cu", "fcc", axis, 49, 2)]
    assert len(set(names)) == len(names)
    config = read(tmp_path, f"{{axis: {list(axis)}, max_sigma: 49, max_index: 2}}")
    assert [*names, "other"] == list(config.members())


def test_names_of_listed_boundaries_of_hcp_differ():
    names = [one.name for one in named_boundaries("Ti", "hcp", (0, 0, 0, 1), 49, 2)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("wanted", "lattice", "expected"),
    [
        ("{axis: [0, 0, 1], max_sigma: 3}", "fcc", "boundaries[0].all: names no boundary"),
        ("{axis: [0, 0, 0]}", "fcc", "boundaries[0].all.axis: must be a direction"),
        ("{axis: [0, 0, 1], kind: tilt}", "fcc", "boundaries[0].all.kind: must be"),
        ("{axis: [0, 0, 1], sigma: 5}", "fcc", "boundaries[0].all.sigma: unknown key"),
        ("{max_sigma: 5}", "fcc", "boundaries[0].all.axis: is required but missing"),
        ("001", "fcc", "boundaries[0].all: must be keys such as axis"),
        ("{axis: [1, 0, -1, 0]}", "hcp", "boundaries[0].all: axis must be 0001 in hcp"),
        ("{axis: [0, 0, 1]}", "file", "boundaries[0].all: needs boundary.lattice"),
    ],
)
def test_what_names_no_boundaries_is_refused_with_its_key(tmp_path, wanted, lattice, expected):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, wanted, lattice)
    assert expected in str(caught.value)
