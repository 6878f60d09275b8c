"""Boundaries named on the command line and in files, as a user meets them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = """
name: cu
boundary: {element: Cu, lattice: fcc, sigma: 5, axis: [0, 0, 1], plane: [2, 1, 0]}
potential: {pair_style: eam/alloy, pair_coeff: "* * {file} Cu", file: Cu_mishin1.eam.alloy}
voxels: {shape: [4, 12, 76]}
search: {num_tries: 4}
sampling: {num_candidates: 4}
"""


def call(folder: Path, *words: str, timeout: float = 120) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "gcd_hpc.cli", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "cu.yaml").write_text(CAMPAIGN)
    return tmp_path


@pytest.mark.lammps
def test_a_check_prints_back_what_a_name_means(folder):
    code, text, _ = call(folder, "check", "cu.yaml")
    assert code == 0
    for line in (
        "boundary: Sigma 5 symmetric tilt, 53.13 degrees about <0 0 1>, planes (2 1 0) on (1 2 0)",
        "rotation: 36.87 degrees about [0 0 1], from the lower to the upper grain",
        "lower grain: x [0 0 1], y [1 -2 0], z [2 1 0]",
        "upper grain: x [0 0 1], y [2 -1 0], z [1 2 0]",
        "cell: 3.62 x 8.08 Å, area 29.2 Å^2, strain 0.0e+00",
        "[n]: in steps of 1/2 (N_plane is 2)",
        "slabs: 33 + 33 planes, 132 atoms, 8 Å held at both ends, in a box of 59.94 Å",
        "voxels: 4 x 12 x 76 of 0.90 x 0.67 x 0.79 Å, 18 known layers at both ends",
    ):
        assert f"  {line}\n" in text


@pytest.mark.lammps
@pytest.mark.parametrize("command", ["check", "search", "campaign"])
@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("sigma=7", "boundary.sigma: no rotation about [0 0 1] has Sigma 7; the nearest that"),
        ("plane=[2,1,1]", "boundary.plane: must contain the axis [0 0 1]"),
        ("upper_plane=[1,1,1]", "boundary.upper_plane: Sigma 5 about [0 0 1] does not join"),
        ("angle=40", "boundary.angle: no coincidence of Sigma 5 about [0 0 1] lies within 0.5"),
        ("element=W", "potential of Cu, but the campaign's element is W"),
    ],
)
def test_a_name_without_a_boundary_is_refused_and_nothing_is_written(
    folder, command, option, sentence
):
    file = ["--campaign", "cu.yaml"] if command == "search" else ["cu.yaml"]
    code, _, error = call(folder, command, *file, "--set", f"boundary.{option}")
    assert code == 2
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert [path.name for path in folder.iterdir()] == ["cu.yaml"]
