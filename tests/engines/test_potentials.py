"""Potentials are found where the user or LAMMPS put them, and known by their content."""

import re
import shutil
from pathlib import Path

import pytest

from gcd_hpc.config.campaign import PotentialConfig
from gcd_hpc.engines.potentials import Potential, find_potential
from gcd_hpc.errors import PotentialError

ZHOU = PotentialConfig(pair_style="eam/alloy", pair_coeff="* * {file} W", file="W_zhou.eam.alloy")


@pytest.mark.lammps
def test_a_potential_is_found_among_those_that_lammps_ships(potential: Potential):
    assert potential.file is not None
    assert potential.file.is_file()
    assert f'"{potential.file}"' in potential.pair_coeff


@pytest.mark.lammps
def test_the_campaigns_folder_comes_first_and_the_hash_does_not_depend_on_it(
    potential: Potential, tmp_path: Path
):
    shutil.copy(potential.file, tmp_path)
    copy = find_potential(ZHOU, "W", tmp_path)
    assert copy.file == tmp_path / "W_zhou.eam.alloy"
    assert copy.sha256 == potential.sha256


def test_another_content_is_another_potential(tmp_path: Path):
    hashes = set()
    for content in ("one", "two"):
        (tmp_path / "W_zhou.eam.alloy").write_text(content)
        hashes.add(find_potential(ZHOU, "W", tmp_path).sha256)
    assert len(hashes) == 2


def test_a_potential_without_a_file_is_its_two_commands(tmp_path: Path):
    potential = find_potential(
        PotentialConfig(pair_style="lj/cut 8", pair_coeff="* * 0.3 2.5"), "Ar", tmp_path
    )
    assert (potential.pair_coeff, potential.file) == ("* * 0.3 2.5", None)


@pytest.mark.parametrize(
    ("config", "element", "message"),
    [
        (ZHOU.model_copy(update={"file": "nowhere.eam"}), "W", "'nowhere.eam' not found in "),
        (ZHOU.model_copy(update={"file": None}), "W", "if and only if a potential file is named"),
        (
            ZHOU.model_copy(update={"pair_coeff": "* * W"}),
            "W",
            "if and only if a potential file is named",
        ),
        (ZHOU, "Wo", "expected the symbol of a chemical element, got 'Wo'"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(
    config: PotentialConfig, element: str, message: str, tmp_path: Path
):
    with pytest.raises(PotentialError, match=re.escape(message)):
        find_potential(config, element, tmp_path)
