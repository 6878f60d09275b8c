"""Campaigns of slab files: checked, refused, and not resumed with other files."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gcd_hpc.campaign.directory import check_config, write_config
from gcd_hpc.errors import RunDirectoryError
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.slab_files import read_campaign

GRIP = Path(__file__).parent.parent / "data" / "grip_ti"
CAMPAIGN = """
name: ti
boundary:
  element: Ti
  slabs: {lower: POSCAR_LOWER, upper: POSCAR_UPPER}
potential: {pair_style: meam/spline, pair_coeff: "* * {file} Ti", file: Ti.meam.spline}
search: {num_tries: 1}
sampling: {num_candidates: 1}
"""


@pytest.fixture
def campaign(tmp_path):
    for name in ("POSCAR_LOWER", "POSCAR_UPPER"):
        shutil.copy(GRIP / name, tmp_path)
    file = tmp_path / "ti.yaml"
    file.write_text(CAMPAIGN)
    return file


def call(folder, *words):
    command = [sys.executable, "-m", "gcd_hpc.cli", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_check_describes_the_crystal_and_the_boundary_of_slab_files(campaign):
    done = call(campaign.parent, "check", "ti.yaml")
    assert done.returncode == 0, done.stderr
    for words in (
        "sound: Ti (P6_3/mmc)",
        "Sigma 7 symmetric tilt, 21.79 degrees",
        "crystal: P6_3/mmc, primitive vectors of 2.9305 x 2.9305 x 4.6783 Å, 2 atoms",
        "cell: 7.75 x 4.68 Å, area 36.3 Å^2, strain 0.0e+00",
        "N_plane is 2",
    ):
        assert words in done.stdout


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("POSCAR_UPPER}", "no_file}"), "ti.yaml: boundary.slabs.upper: no_file: cannot be read"),
        (("element: Ti", "element: Zr"), "holds Ti, but boundary.element is Zr"),
        (("element: Ti\n", "element: Ti\n  sigma: 7\n"), "boundary.sigma: is given beside slabs"),
        (("element: Ti\n", "element: Ti\n  lattice: hcp\n"), "boundary.lattice: is given beside"),
    ],
)
def test_slabs_that_name_no_boundary_are_refused_before_anything_is_written(
    campaign, change, problem
):
    campaign.write_text(CAMPAIGN.replace(*change))
    before = sorted(campaign.parent.iterdir())
    done = call(campaign.parent, "search", "--campaign", "ti.yaml")
    assert done.returncode == 2
    assert problem in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(campaign.parent.iterdir()) == before


def test_a_run_is_not_resumed_after_a_slab_file_has_changed(campaign, tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    write_config(run, read_campaign(campaign))
    check_config(run, read_campaign(campaign))
    upper = campaign.parent / "POSCAR_UPPER"
    upper.write_text(upper.read_text().replace("Ti upper", "Ti other"))
    with pytest.raises(RunDirectoryError, match=r"cannot be resumed with boundary.slabs.crystal"):
        check_config(run, read_campaign(campaign))


def test_a_run_needs_its_slab_files_no_more(campaign, tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    config = read_campaign(campaign)
    write_config(run, config)
    (campaign.parent / "POSCAR_UPPER").unlink()
    assert read_campaign(run.config) == config
