"""Campaign files of several boundaries."""

import pytest

from gcd_hpc.config.loader import dump_set, load_campaign, load_campaign_or_set
from gcd_hpc.config.set import SetConfig
from gcd_hpc.errors import ConfigError

SET = """\
name: tilts
seed: 3
boundary: {element: Cu, lattice: fcc, axis: [0, 0, 1]}
boundaries:
  - {name: s5_210, sigma: 5, plane: [2, 1, 0], replicas: [1, 2]}
  - {name: s13_320, sigma: 13, plane: [3, 2, 0]}
potential: {pair_style: eam/alloy, pair_coeff: "* * {file} Cu", file: Cu_mishin1.eam.alloy}
search: {num_tries: 4}
sampling: {num_candidates: 4}
budget: {rounds: 0}
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads a set from text."""
    monkeypatch.chdir(tmp_path)

    def load_text(text: str = SET, *overrides: str) -> SetConfig:
        (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
        config = load_campaign_or_set("s.yaml", overrides)
        assert isinstance(config, SetConfig)
        return config

    return load_text


def test_a_member_is_the_campaign_of_its_boundary_alone(load, tmp_path):
    lines = [line for line in SET.splitlines() if not line.startswith(("boundar", "name", "  -"))]
    alone = tmp_path / "alone.yaml"
    boundary = "{element: Cu, lattice: fcc, axis: [0, 0, 1], sigma: 13, plane: [3, 2, 0]}"
    alone.write_text("\n".join([*lines, "name: s13_320", f"boundary: {boundary}"]))
    assert load().members()["s13_320"] == load_campaign(alone)


def test_members_keep_the_order_of_the_file_and_the_names_of_their_boundaries(load):
    config = load()
    assert config.name == "tilts"
    assert [(name, one.name) for name, one in config.members().items()] == [
        ("s5_210", "s5_210"),
        ("s13_320", "s13_320"),
    ]


def test_a_mapping_in_place_of_the_list_is_one_boundary(load):
    text = SET.replace("  - {name: s13_320, sigma: 13, plane: [3, 2, 0]}\n", "")
    assert list(load(text.replace("  - {", "  {")).members()) == ["s5_210"]


def test_a_dumped_set_loads_as_an_equal_one(load):
    config = load()
    assert load(dump_set(config)) == config


def test_options_change_all_members_also_where_an_entry_has_the_key(load):
    config = load(SET, "search.num_tries=9", "boundary.replicas=[3, 3]", "seed=1")
    for member in config.members().values():
        assert member.search.num_tries == 9
        assert member.boundary.replicas == (3, 3)
        assert member.seed == 1


def test_an_entry_goes_before_the_keys_that_all_have_in_common(load):
    config = load(SET.replace("fcc, axis", "fcc, max_strain: 0.1, axis"))
    assert {one.boundary.max_strain for one in config.members().values()} == {0.1}
    text = SET.replace("fcc, axis", "fcc, replicas: [2, 2], axis")
    replicas = [one.boundary.replicas for one in load(text).members().values()]
    assert replicas == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "name: s13_320",
            "name: s5_210",
            "s.yaml: boundaries[1].name: is s5_210, which boundaries[0] is called too",
        ),
        ("plane: [3, 2, 0]", "plane: [3, 2, 0], plane: [2, 3, 0]", "boundaries[1].plane: is given"),
        ("name: s13_320, ", "", "s.yaml: boundaries[1].name: is required but missing"),
        ("name: s13_320", "name: a/b", "s.yaml: boundaries[1].name: must be letters, digits"),
        ("name: tilts", "name: a/b", "s.yaml: name: must be letters, digits"),
        ("name: tilts\n", "", "s.yaml: name: is required but missing"),
        ("plane: [3, 2, 0]", "plane: [3, 2, 1]", "s.yaml: boundaries[1].plane: must contain the"),
        ("plane: [3, 2, 0]", "plan: [3, 2, 0]", "boundaries[1].plan: unknown key"),
        (", plane: [3, 2, 0]", "", "s.yaml: boundaries[1].plane: is required beside axis"),
        (
            "sigma: 13, plane: [3, 2, 0]",
            "sigma: 1",
            "s.yaml: boundaries[1].sigma: must be at least",
        ),
        ("element: Cu", "element: cu", "s.yaml: boundary.element: must be a chemical symbol"),
        (
            "num_tries: 4",
            "num_tries: 0",
            "s.yaml: search.num_tries: must be greater than 0 without",
        ),
        (
            "  - {name: s13_320, sigma: 13, plane: [3, 2, 0]}",
            "  - 5",
            "boundaries[1]: must be keys",
        ),
        ("  - {name: s13_320, sigma: 13", "  - {all: {axis: [0, 0, 1]}", "boundaries[1].all: must"),
        ("boundary: {element: Cu, lattice: fcc, axis: [0, 0, 1]}", "boundary: 5", "boundary: must"),
    ],
)
def test_a_mistake_is_one_sentence_with_file_and_key(load, old, new, expected):
    assert old in SET
    with pytest.raises(ConfigError) as caught:
        load(SET.replace(old, new))
    assert expected in str(caught.value)


@pytest.mark.parametrize("given", ["[]", "5", "~"])
def test_a_set_without_boundaries_is_refused(load, given):
    with pytest.raises(ConfigError, match=r"boundaries: must be a list of at least one boundary"):
        load(SET, f"boundaries={given}")


def test_a_set_of_very_many_boundaries_is_refused(load):
    entries = [f"  - {{name: b{number}, sigma: 5, twist: true}}" for number in range(501)]
    lines = [line for line in SET.splitlines() if not line.startswith("  -")]
    place = lines.index("boundaries:") + 1
    with pytest.raises(ConfigError, match=r"boundaries: are 501, and a set has at most 500"):
        load("\n".join([*lines[:place], *entries, *lines[place:]]))
    assert len(load("\n".join([*lines[:place], *entries[1:], *lines[place:]])).members()) == 500


def test_a_command_for_one_boundary_refuses_a_set(load, tmp_path):
    load()
    with pytest.raises(ConfigError, match=r"boundaries: makes this the file of a set"):
        load_campaign(tmp_path / "s.yaml")
