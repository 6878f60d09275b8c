"""Energies that others published, by relaxing their structures; see tests/data/grip_ti/README.md.

Both data and potential are small, so that the whole way from a named boundary to a table is run.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

DATA = Path(__file__).parent.parent / "data" / "grip_ti"
CAMPAIGN = Path(__file__).parents[2] / "campaigns" / "ti_2130.yaml"


SLABS = f"""
name: ti_slabs
boundary:
  element: Ti
  slabs: {{lower: {DATA}/POSCAR_LOWER, upper: {DATA}/POSCAR_UPPER}}
potential: {{pair_style: meam/spline, pair_coeff: "* * {{file}} Ti", file: Ti.meam.spline}}
search: {{num_tries: 1, md: {{probability: 0.1, temperature_k: [300, 400], num_steps: [10, 20]}}}}
sampling: {{num_candidates: 1}}
"""


@pytest.mark.physics
@pytest.mark.lammps
@pytest.mark.parametrize("by", ["four indices", "slab files"])
@pytest.mark.parametrize(
    ("name", "n", "published"), [("n0_2x1.dump", 0.0, 0.462), ("n0.5_2x1.dump", 0.5, 0.508)]
)
def test_titanium_structures_of_grip_have_their_published_energies(
    by, name, n, published, tmp_path
):
    campaign = CAMPAIGN
    if by == "slab files":
        campaign = tmp_path / "ti_slabs.yaml"
        campaign.write_text(SLABS)
    words = ["relax", str(DATA / name), "-c", str(campaign), "--json"]
    words += ["--set", "relaxation.preset=tight"]
    command = [sys.executable, "-m", "gcd_hpc.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["n_fraction"] == n
    # Published to three decimals, relaxed there with other tolerances.
    assert row["gb_energy_j_m2"] == pytest.approx(published, abs=0.003)


@pytest.mark.physics
@pytest.mark.lammps
@pytest.mark.parametrize("campaign", ["four indices", "slab files"])
def test_a_search_in_hcp_is_verified_with_the_constants_that_it_measured(campaign, tmp_path):
    file = tmp_path / "ti.yaml"
    file.write_text(CAMPAIGN.read_text() if campaign == "four indices" else SLABS)
    command = [sys.executable, "-m", "gcd_hpc.cli"]
    short = ["--num", "3", "--set", "search.md.probability=0", "--run-dir", str(tmp_path / "run")]
    search = [*command, "search", "--campaign", str(file), *short]
    done = subprocess.run(search, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [*command, "verify", str(tmp_path / "run")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout
