"""What a notebook imports from the package's root."""

import subprocess
import sys

import numpy as np
import pytest

import gcd_hpc

WITHOUT_TORCH = ("Bicrystal", "BoundarySystem", "Candidate", "Grid", "Run", "decode")
WITHOUT_TORCH += ("load_campaign", "open_run", "relax", "run_campaign")


def loaded_by(code: str) -> set[str]:
    """Heavy packages that a fresh interpreter has loaded after this code."""
    probe = "{'torch', 'h5py', 'numpy', 'ase', 'yaml', 'rich', 'parsl'} & sys.modules.keys()"
    line = [sys.executable, "-c", f"import sys\n{code}\nprint(*({probe}))"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import gcd_hpc; dir(gcd_hpc)") == set()


def test_only_what_needs_torch_loads_it():
    names = "; ".join(f"gcd_hpc.{name}" for name in WITHOUT_TORCH)
    assert "torch" not in loaded_by(f"import gcd_hpc; {names}")


@pytest.mark.parametrize("name", gcd_hpc.__all__)
def test_every_name_is_there_and_says_what_it_is(name):
    member = getattr(gcd_hpc, name)
    assert name in dir(gcd_hpc)
    assert name == "__version__" or member.__doc__


def test_a_name_that_the_package_does_not_have_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'gcd_hpc' has no attribute 'open_runs'"):
        gcd_hpc.open_runs  # noqa: B018


def test_atoms_become_voxels_and_voxels_atoms():
    grid = gcd_hpc.Grid((12, 12, 12), (6.0, 6.0, 6.0), (True, True, True))
    positions = np.array([[1.0, 2.0, 3.0], [4.2, 4.4, 0.1]])
    array = gcd_hpc.encode(positions, grid)
    assert float(array.sum()) == pytest.approx(2.0)
    found = gcd_hpc.decode(array, grid)
    order = np.argsort(found[:, 0])
    # float32 voxels
    assert np.abs(grid.displacement(found[order], positions)).max() < 1e-5


@pytest.mark.lammps
def test_a_structure_of_a_notebook_is_relaxed_as_the_campaign_does(tmp_path):
    config = gcd_hpc.load_campaign("smoke.yaml")
    system = gcd_hpc.BoundarySystem.build(config, tmp_path)
    atoms = system.frame.join(np.zeros(3))
    before = atoms.positions.copy()
    relaxed = gcd_hpc.relax(atoms, system)
    assert relaxed.positions.shape == (len(atoms), 3)
    assert np.array_equal(atoms.positions, before)
    assert 2.0 < relaxed.gb_energy_j_m2 < 6.0
    assert relaxed.n_fraction == 0.0
