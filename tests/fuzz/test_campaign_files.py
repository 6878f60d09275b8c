"""Damaged campaign, set, engine and site files are read, or refused in short sentences."""

from pathlib import Path

import pytest

from gcd_hpc.campaign.material_soundness import inspect_material
from gcd_hpc.campaign.soundness import inspect_campaign, inspect_set
from gcd_hpc.config.loader import load_campaign, load_site, with_engine
from gcd_hpc.config.material import MaterialConfig
from gcd_hpc.config.set import SetConfig
from gcd_hpc.errors import GcdError
from gcd_hpc.structures.boundary_sets import read_campaign_or_set
from gcd_hpc.workers.allocation import resolve
from tests.fuzz.harness import few_and_many, mutations, outcome, write

ROOT = Path(__file__).parents[2]
CAMPAIGNS = ("smoke", "w_sigma5_paper")
SITES = ("local", "slurm_login")
ENGINES = {
    "lammps": """\
potential:
  pair_style: eam/alloy
  pair_coeff: "* * {file} W"
  file: W_zhou.eam.alloy
relaxation: {preset: tight, timeout_s: 30.0, outer_thickness: auto}
""",
    "calculator": """\
engine: ase
calculator: {name: emt, arguments: {asap_cutoff: true, cutoff: 5.5}, atom_energies: true}
relaxation: {preset: standard}
""",
}


def refused(error: GcdError) -> list[str]:
    """The problems of a file, one a line, each of them a sentence for a terminal."""
    lines = str(error).splitlines()
    assert all(line.isprintable() and len(line) < 1000 for line in lines), lines
    assert len(lines) <= 22
    return lines


def checked(file: Path) -> list[str]:
    """What ``gcd-hpc check`` says of the file of a campaign or a set."""
    try:
        config = read_campaign_or_set(file)
        if isinstance(config, MaterialConfig):
            return inspect_material(config, file.parent, file.name).lines()
        if isinstance(config, SetConfig):
            found = inspect_set(config, file.parent, file.name)
            return [line for one in found.values() for line in one.lines()]
        return inspect_campaign(config, file.parent, file.name).lines()
    except GcdError as error:
        return refused(error)


def computed_by(file: Path) -> list[str]:
    """The engine that ``relax --engine`` and ``rescore`` take from a file."""
    try:
        config, _ = with_engine(load_campaign(ROOT / "campaigns/smoke.yaml"), str(file))
        return [config.engine]
    except GcdError as error:
        return refused(error)


def read_site(file: Path) -> str | list[str]:
    try:
        return resolve(load_site(file), {}).name
    except GcdError as error:
        return refused(error)


@pytest.mark.parametrize("name", CAMPAIGNS)
@few_and_many(3000)
def test_a_damaged_campaign_file_is_checked_or_refused(name, num, tmp_path):
    content = (ROOT / "campaigns" / f"{name}.yaml").read_bytes()
    for index, damaged in enumerate(mutations(content, num // 4, 0, is_text=True)):
        file = write(tmp_path, "campaign.yaml", damaged)
        outcome(lambda: checked(file), f"{name}, mutation {index}")  # noqa: B023


@pytest.mark.parametrize("name", SITES)
@few_and_many(3000)
def test_a_damaged_site_file_is_read_or_refused(name, num, tmp_path):
    content = (ROOT / "campaigns" / "sites" / f"{name}.yaml").read_bytes()
    for index, damaged in enumerate(mutations(content, num // 4, 1, is_text=True)):
        file = write(tmp_path, "site.yaml", damaged)
        outcome(lambda: read_site(file), f"{name}, mutation {index}")  # noqa: B023


@pytest.mark.parametrize("name", ["carbon_xanes", "cu_001_tilts"])
@few_and_many(2000)
def test_a_damaged_file_of_a_material_or_a_set_is_checked_or_refused(name, num, tmp_path):
    content = (ROOT / "campaigns" / f"{name}.yaml").read_bytes()
    write(tmp_path, "carbon_xanes.csv", (ROOT / "campaigns/carbon_xanes.csv").read_bytes())
    for index, damaged in enumerate(mutations(content, num // 4, 2, is_text=True)):
        file = write(tmp_path, "campaign.yaml", damaged)
        outcome(lambda: checked(file), f"{name}, mutation {index}")  # noqa: B023


@pytest.mark.parametrize("name", ENGINES)
@few_and_many(1000)
def test_a_damaged_engine_file_is_read_or_refused(name, num, tmp_path):
    for index, damaged in enumerate(mutations(ENGINES[name].encode(), num // 4, 3, is_text=True)):
        file = write(tmp_path, "engine.yaml", damaged)
        outcome(lambda: computed_by(file), f"{name}, mutation {index}")  # noqa: B023
