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


@pytest.mark.physics
@pytest.mark.lammps
@pytest.mark.parametrize(
    ("name", "n", "published"), [("n0_2x1.dump", 0.0, 0.462), ("n0.5_2x1.dump", 0.5, 0.508)]
)
def test_titanium_structures_of_grip_have_their_published_energies(name, n, published):
    words = ["relax", str(DATA / name), "-c", str(CAMPAIGN), "--json"]
    words += ["--set", "relaxation.preset=tight"]
    command = [sys.executable, "-m", "gcd_hpc.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["n_fraction"] == n
    # Published to three decimals, relaxed there with other tolerances.
    assert row["gb_energy_j_m2"] == pytest.approx(published, abs=0.003)
