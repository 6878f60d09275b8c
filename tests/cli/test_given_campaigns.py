"""Campaign files that once went wrong, in tests/data/campaigns, from end to end.

What was wrong in each has its own, quicker test in tests/engines or tests/stages.
"""

import json
import shutil
from pathlib import Path

import pytest

from gcd_hpc.engines.installed import shipped_potentials
from tests.cli.test_naming import call

CAMPAIGNS = Path(__file__).parents[1] / "data" / "campaigns"
LOWEST_J_M2 = {
    "cu310_fused": 0.8,  # the published boundary has 0.9; fused atoms once gave -1.6
    "strain": 0.0,
    "sub": 2.0,  # the best of this boundary has 2.3
    "ta_hybrid_list": -1e-3,  # the grains are one crystal
}
"""No structure of the file's boundary has a lower energy."""
FEW = ("--num", "4", "--set", "search.chunk_size=2")
WORDS = {"cu310_fused": ("--num", "40", "--set", "search.chunk_size=10")}

pytestmark = pytest.mark.lammps


def test_the_potential_of_another_element_is_refused():
    code, _, error = call(CAMPAIGNS, "check", "copyonly.yaml")
    assert (code, len(error.splitlines())) == (2, 1)
    assert "use a potential of Cu" in error


def test_a_crystal_that_is_lowest_where_the_potential_ends_is_refused(tmp_path):
    shutil.copy(CAMPAIGNS / "morse.yaml", tmp_path)
    code, _, error = call(tmp_path, "search", "--campaign", "morse.yaml", "--run-dir", "run", *FEW)
    assert (code, len(error.splitlines())) == (2, 1)
    assert "use a potential that ends smoothly" in error


def test_every_given_campaign_is_tried():
    found = {file.stem for file in CAMPAIGNS.glob("*.yaml")}
    assert found == {*LOWEST_J_M2, "copyonly", "morse"}


@pytest.mark.slow
@pytest.mark.mpi
@pytest.mark.parametrize("name", LOWEST_J_M2)
def test_a_search_finds_what_the_boundary_allows_and_verify_agrees(name, tmp_path):
    shutil.copy(CAMPAIGNS / f"{name}.yaml", tmp_path)
    (tmp_path / "pots").mkdir()
    found = next(path for folder in shipped_potentials() for path in folder.glob("W_zhou.*"))
    shutil.copy(found, tmp_path / "pots" / "mine.eam.alloy")
    words = ("--campaign", f"{name}.yaml", "--run-dir", "run", *WORDS.get(name, FEW))
    code, _, error = call(tmp_path, "search", *words, timeout=600)
    assert code == 0, error
    code, text, error = call(tmp_path, "top", "run", "--json")
    assert code == 0, error
    energies = [row["gb_energy_j_m2"] for row in json.loads(text)]
    assert energies
    assert min(energies) >= LOWEST_J_M2[name]
    code, text, _ = call(tmp_path, "verify", "run")
    assert code == 0, text
