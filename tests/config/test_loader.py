import os
from pathlib import Path

import pytest

from gcd_hpc.config import shipped
from gcd_hpc.config.learning import LearningConfig
from gcd_hpc.config.loader import dump, load_campaign, load_learning, load_site
from gcd_hpc.errors import ConfigError
from gcd_hpc.workers.allocation import resolve

ROOT = Path(__file__).parents[2]


def test_a_campaign_file_becomes_a_config(load):
    config = load()
    assert config.name == "minimal"
    assert config.boundary.upper.x == (3, 1, 0)
    assert config.voxels.shape == (12, 12, 72)
    assert config.search.num_tries == 60


def test_a_whole_number_is_good_for_a_float(load, minimal):
    assert load(minimal.replace("lattice: bcc", "lattice: bcc\n  a0: 3")).boundary.a0 == 3.0


def test_overrides_change_keys_in_order(load, minimal):
    config = load(
        minimal, "seed=1", "sampling.num_candidates=20", "training.learning_rate=1e-4", "seed=2"
    )
    assert (config.seed, config.sampling.num_candidates, config.training.learning_rate) == (
        2,
        20,
        1e-4,
    )


def test_overrides_reach_sections_that_the_file_does_not_have(load, minimal):
    assert load(minimal, "search.md.probability=0.5").search.md.probability == 0.5


def test_overrides_take_lists_and_sections(load, minimal):
    config = load(
        minimal, "voxels.shape=[16, 16, 80]", "search.md={probability: 1, num_steps: [1, 2]}"
    )
    assert config.voxels.shape == (16, 16, 80)
    assert config.search.md.num_steps == (1, 2)


def test_an_override_mends_a_mistake_in_the_file(load, minimal):
    assert load(minimal.replace("60", "0"), "search.num_tries=5").search.num_tries == 5


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seed", "--set: must look like section.key=value, got 'seed'"),
        ("=1", "--set: must look like section.key=value, got '=1'"),
        ("sampling..solver=x", "--set: must look like section.key=value, got 'sampling..solver=x'"),
        (
            "sampling.num_steps=0",
            "--set: sampling.num_steps: must be greater than 0, got 0",
        ),
        (
            "sampling.num_candidats=1",
            "--set: sampling.num_candidats: unknown key, did you mean num_candidates?",
        ),
        ("samplin.num_candidates=1", "--set: samplin: unknown key, did you mean sampling?"),
        ("seed.x=1", '--set: seed: must be a whole number, got {"x": 1}'),
        ("name.x=1", "--set: name.x: name is a value, not a section"),
        ("voxels.shape.2=1", "--set: voxels.shape.2: voxels.shape is a value, not a section"),
        (
            "search={num_tries: 1, num_tries: 2}",
            "--set search={num_tries: 1, num_tries: 2}: num_tries: is given twice",
        ),
        ("seed=[", "--set seed=[: line 1, column 2: is not valid YAML"),
        ("seed=", "--set: seed: must be a whole number, got nothing"),
    ],
)
def test_a_wrong_override_is_reported_as_such(message, minimal, override, expected):
    assert message(minimal, override).startswith(expected)


def test_a_mistake_in_the_file_is_not_blamed_on_an_override(message, minimal):
    assert message(minimal.replace("60", "0"), "seed=1").startswith("c.yaml: search.num_tries: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "c.yaml: must hold keys such as name, seed, boundary, got nothing"),
        ("# only a comment", "c.yaml: must hold keys such as name, seed, boundary, got nothing"),
        ("- a\n- b\n", "c.yaml: must hold keys such as name, seed, boundary, got a list"),
        ("just text", "c.yaml: must hold keys such as name, seed, boundary, got a str"),
    ],
)
def test_a_file_without_keys_is_refused(message, text, expected):
    assert message(text) == expected


def test_a_missing_file_is_named(folder):
    with pytest.raises(ConfigError, match=r"^campaigns/none\.yaml: there is no such file$"):
        load_campaign("campaigns/none.yaml")


def test_a_folder_in_place_of_a_file_is_named(folder):
    with pytest.raises(ConfigError, match=r"is a folder; name a YAML file$"):
        load_campaign(folder)


def test_a_file_below_a_file_is_named(folder):
    (folder / "c.yaml").touch()
    with pytest.raises(ConfigError, match=r"^c\.yaml/d\.yaml: cannot be read: not a directory$"):
        load_campaign("c.yaml/d.yaml")


def test_a_pipe_and_a_device_are_refused_without_being_read(folder):
    os.mkfifo(folder / "c.yaml")
    for path in ("c.yaml", "/dev/zero"):
        with pytest.raises(ConfigError, match=r"is a pipe or a device; name a YAML file$"):
            load_campaign(path)


def test_a_file_far_too_long_is_refused_before_it_is_parsed(load, minimal):
    with pytest.raises(ConfigError, match=r"too long for a campaign or site file"):
        load(minimal + 50_000_000 * "#")


def test_a_name_that_no_file_can_have_is_refused(folder):
    with pytest.raises(ConfigError, match=r"cannot be read: file name too long$"):
        load_campaign(1000 * "x")
    with pytest.raises(ConfigError, match=r"cannot be read: embedded null byte$"):
        load_campaign("a\0b")


@pytest.mark.parametrize("name", ["smoke.yaml", "campaigns/smoke.yaml"])
def test_a_campaign_that_comes_with_the_package_is_found_by_its_name(folder, name):
    assert load_campaign(name).name == "smoke"
    (folder / name).parent.mkdir(exist_ok=True)
    text = (ROOT / "campaigns/smoke.yaml").read_text()
    (folder / name).write_text(text.replace("name: smoke", "name: mine"))
    assert load_campaign(name).name == "mine"


def test_files_of_a_wheel_lie_within_the_package(tmp_path, monkeypatch):
    (tmp_path / "site/gcd_hpc/_data/campaigns/sites").mkdir(parents=True)
    (tmp_path / "site/gcd_hpc/_data/campaigns/sites/ours.yaml").write_text("name: ours\n")
    monkeypatch.setattr(shipped, "_PACKAGE", tmp_path / "site" / "gcd_hpc")
    assert load_site("ours").name == "ours"
    assert load_site("campaigns/sites/ours.yaml").name == "ours"
    with pytest.raises(ConfigError, match=r"batch/none\.sh: is not in "):
        shipped.shipped("batch/none.sh")


def test_messages_stay_short_and_on_their_line(message, minimal):
    """Keys, values and options of 100,000 characters, with what would steer a terminal."""
    long = 100_000 * "k"
    for text in (
        message(f"{minimal}{long}: 1\n"),
        message(f'{minimal}"\\x1b[31m{long}\\n": 1\n'),
        message(f"{minimal}seed: {long}\n"),
        message(f"{minimal}seed: *{long}\n"),
        message(f"{minimal}seed: !{long} 1\n"),
        message(f'{minimal}seed: "\\x1b[31m"\n'),
        message(minimal, f"seed={long}"),
        message(minimal, long),
    ):
        assert len(text) < 500
        assert text.isprintable()


def test_a_thousand_problems_are_not_all_listed(message, minimal):
    text = message(minimal + "".join(f"key{index}: 1\n" for index in range(1000)))
    assert len(text.splitlines()) == 22
    assert text.splitlines()[-1] == "c.yaml: and 979 more problems"


def test_a_binary_file_is_refused(folder):
    (folder / "c.yaml").write_bytes(b"\x89HDF\r\n\x1a\n\xff\xfe")
    with pytest.raises(
        ConfigError, match=r"^c\.yaml: is not text in UTF-8; save the YAML file in this encoding$"
    ):
        load_campaign("c.yaml")


def test_all_problems_are_listed_one_a_line(message, minimal):
    text = minimal.replace("60", "-1").replace("bcc", "bbc").replace("name: minimal\n", "")
    assert message(text).splitlines() == [
        "c.yaml: name: is required but missing",
        "c.yaml: boundary.lattice: must be 'sc', 'bcc', 'fcc', 'diamond', 'hcp', 'b2', 'l12',"
        " 'rocksalt', 'zincblende' or 'file', got 'bbc'",
        "c.yaml: search.num_tries: must be at least 0, got -1",
    ]


def test_a_dumped_campaign_loads_as_the_same_campaign(load):
    config = load()
    assert load(dump(config)) == config


def test_a_dumped_campaign_holds_every_key(load):
    assert "condition_dropout: 0.15\n" in dump(load())


def test_dumping_twice_gives_the_same_text(load):
    config = load()
    assert dump(load(dump(config))) == dump(config)


def test_a_site_file_is_read(folder):
    (folder / "s.yaml").write_text("name: two\ncores: 2\ntraining: {processes_per_node: 1}\n")
    site = resolve(load_site("s.yaml"))
    assert (
        site.cores,
        site.training.num_workers,
        site.sampling.num_workers,
        site.relaxation.num_workers,
    ) == (2, 1, 2, 2)


def test_a_site_is_found_by_its_name_here_before_the_checkout(folder):
    assert load_site("slurm_login").driver == "login"
    (folder / "campaigns/sites").mkdir(parents=True)
    (folder / "campaigns/sites/slurm_login.yaml").write_text("name: ours\n")
    assert load_site("slurm_login").name == "ours"


def test_an_unknown_site_name_is_told_with_the_known_ones(folder):
    with pytest.raises(
        ConfigError,
        match=r"slurm_logon: there is no such site; name a file or one of flux_allocation, local, ",
    ):
        load_site("slurm_logon")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cores: 0", "s.yaml: cores: must be greater than 0 or 'auto', got 0"),
        ("cores: all", "s.yaml: cores: must be a whole number or 'auto', got 'all'"),
        ("core: 2", "s.yaml: core: unknown key, did you mean cores?"),
        ("mpiexec: ''", "s.yaml: mpiexec: must not be empty"),
        ("", "s.yaml: must hold keys such as name, scheduler, driver, got nothing"),
    ],
)
def test_a_wrong_site_file_is_reported(folder, text, expected):
    (folder / "s.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_site("s.yaml")
    assert str(caught.value) == expected


def test_how_a_model_learns_is_read_from_any_campaign_file_and_changed_by_options(tmp_path):
    """Also from that of a set; what does not concern learning is not looked at."""
    file = tmp_path / "set.yaml"
    file.write_text("boundaries: 3\nvoxels: auto\nnetwork: {width: 24}\ntraining: {num_steps: 7}\n")
    learning = load_learning(file, ["network.num_blocks=1"])
    assert (learning.network.width, learning.network.num_blocks) == (24, 1)
    assert learning.training.num_steps == 7
    assert learning.voxels.shape == "auto"
    assert load_learning(None) == LearningConfig()
    given = load_learning(None, ["voxels.shape=[12, 12, 72]", "voxels.scale=0.02"])
    assert (given.voxels.shape, given.voxels.scale) == ("auto", 0.02)
    with pytest.raises(ConfigError, match=r"--set: training\.num_steps: must be greater than 0"):
        load_learning(file, ["training.num_steps=0"])
    with pytest.raises(ConfigError, match=r"--set: search"):
        load_learning(None, ["search.num_tries=3"])
