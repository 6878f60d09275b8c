"""Damaged potentials and bulk crystals of a run: the same as was measured, or one sentence."""

from dataclasses import asdict
from pathlib import Path

import pytest
from pydantic import ValidationError

from gcd_hpc.config.campaign import CampaignConfig, PotentialConfig
from gcd_hpc.engines.bulk import Bulk, BulkRecord, read_prepared
from gcd_hpc.engines.potentials import copied_potential
from gcd_hpc.errors import ConfigError, reason_of
from tests.campaign.conftest import make_config
from tests.fuzz.harness import few_and_many, mutations, outcome, write

NAME = "W.eam.alloy"
CONTENT = b"a\nb\nc\n1 W\n5 1.0 5 1.0 6.0\n74 183.84 3.165 BCC\n" + b"0.0 1.25 -3.5 0.75 2.0\n" * 40


@pytest.fixture(scope="module")
def config() -> CampaignConfig:
    potential = PotentialConfig(pair_style="eam/alloy", pair_coeff="* * {file} W", file=NAME)
    return make_config().model_copy(update={"potential": potential})


@pytest.fixture
def run_dir(config: CampaignConfig, tmp_path: Path) -> Path:
    """Copies and a bulk crystal as ``prepare`` leaves them."""
    (tmp_path / "potential").mkdir()
    (tmp_path / "potential" / NAME).write_bytes(CONTENT)
    potential = copied_potential(config.potential, "W", tmp_path / "potential")
    bulk = Bulk(a0=3.1648, cohesive_ev=-8.76, cutoff=6.0)
    BulkRecord(potential.sha256, "W", "bcc", None, bulk).write(tmp_path / "bulk.json")
    return tmp_path


@few_and_many(500)
@pytest.mark.parametrize("name", ["bulk.json", f"potential/{NAME}"])
def test_what_a_run_starts_from_is_what_was_measured_or_refused(
    name: str, num: int, config: CampaignConfig, run_dir: Path
):
    def read() -> list[object]:
        potential, bulk = read_prepared(config, run_dir / "potential", run_dir / "bulk.json")
        return [potential.sha256, asdict(bulk)]

    sound = (run_dir / name).read_bytes()
    expected = outcome(read, "sound").value
    num_refused = 0
    for index, content in enumerate(mutations(sound, num, seed=1, is_text=True)):
        write(run_dir, name, content)
        found = outcome(read, f"{name} {index}")
        num_refused += found.kind == "refused"
        assert found.kind == "refused" or found.value == expected, (name, index)
    assert num_refused > num / 2


@few_and_many(500)
def test_a_damaged_potential_of_the_users_is_read_or_refused(
    num: int, config: CampaignConfig, tmp_path: Path
):
    """Commands and files are damaged; LAMMPS decides on what can be read."""
    lines = b"hybrid/overlay eam/alloy zbl 4.0 4.8\n* * eam/alloy {file} 'W' # map\n1 1 zbl 74 74"
    files = mutations(CONTENT, num, seed=2, is_text=True)
    for index, damaged in enumerate(mutations(lines, num, seed=3, is_text=True)):
        write(tmp_path, NAME, next(files))
        style, _, coefficients = damaged.decode(errors="replace").partition("\n")
        words = {"pair_style": style, "pair_coeff": coefficients}
        outcome(lambda words=words: _hash_of(config.potential, words, tmp_path), index)


def _hash_of(potential: PotentialConfig, words: dict[str, str], folder: Path) -> str:
    """Hash of a potential with other words, as a campaign file gives them."""
    try:
        config = PotentialConfig.model_validate(potential.model_dump(exclude_unset=True) | words)
    except ValidationError as error:  # readers of files turn it into a sentence with the key
        raise ConfigError("campaign.yaml", "potential", reason_of(error)) from None
    return copied_potential(config, "W", folder).sha256
