"""Damaged campaign and site files are read, or refused in short sentences."""

from pathlib import Path

import pytest

from gcd_hpc.campaign.soundness import inspect_campaign
from gcd_hpc.config.loader import load_campaign, load_site
from gcd_hpc.errors import GcdError
from gcd_hpc.workers.allocation import resolve
from tests.fuzz.harness import few_and_many, mutations, outcome, write

ROOT = Path(__file__).parents[2]
CAMPAIGNS = ("smoke", "w_sigma5_paper")
SITES = ("local", "slurm_login")


def refused(error: GcdError) -> list[str]:
    """The problems of a file, one a line, each of them a sentence for a terminal."""
    lines = str(error).splitlines()
    assert all(line.isprintable() and len(line) < 1000 for line in lines), lines
    assert len(lines) <= 22
    return lines


def checked(file: Path) -> list[str]:
    """What ``gcd-hpc check`` says of a campaign file."""
    try:
        return inspect_campaign(load_campaign(file), file.parent, file.name).lines()
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
