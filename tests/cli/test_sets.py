"""Sets of boundaries on the command line."""

import pytest

from tests.cli.test_set_readers import call
from tests.config.test_set import SET


@pytest.mark.lammps
def test_a_check_of_a_set_prints_one_line_a_boundary(tmp_path):
    (tmp_path / "s.yaml").write_text(SET)
    code, text, _ = call(tmp_path, "check", "s.yaml")
    assert code == 0
    assert "s.yaml: sound: 2 boundaries" in text
    lines = [line.split() for line in text.splitlines()]
    plane = ["(2", "1", "0)"]
    expected = ["s5_210", "5", "<0", "0", "1>", *plane, "symmetric", "tilt"]
    (line,) = (line for line in lines if line[:1] == ["s5_210"])
    # Atoms and N_plane come before the three numbers of voxels.
    assert line[:-5] == [*expected, "3.62", "x", "16.17", "264", "4"]
    assert sum(line[:1] == ["s13_320"] for line in lines) == 1


@pytest.mark.lammps
def test_a_check_of_a_set_calls_a_twin_a_tilt_where_its_name_does(tmp_path):
    entry = "  - {name: twin, axis: [1, -1, 0], sigma: 3, plane: [1, 1, 1]}\n"
    (tmp_path / "s.yaml").write_text(SET.replace("potential:", f"{entry}potential:"))
    code, text, _ = call(tmp_path, "check", "s.yaml")
    (line,) = (line for line in text.splitlines() if line.startswith("twin"))
    # As a rotation about <1 1 1> the same boundary is a twist.
    assert code == 0 and "(1 1 1) symmetric tilt" in " ".join(line.split())


@pytest.mark.lammps
def test_a_check_refuses_a_set_with_a_boundary_that_cannot_run_and_names_it(tmp_path):
    # Sigma 13 exists about [001], but Sigma 11 does not.
    (tmp_path / "s.yaml").write_text(SET.replace("sigma: 13", "sigma: 11"))
    code, _, error = call(tmp_path, "check", "s.yaml")
    assert code == 2
    assert error.startswith("gcd-hpc: s.yaml: s13_320: boundary.sigma: no rotation about [0 0 1]")


@pytest.mark.lammps
def test_a_command_for_one_boundary_says_that_a_file_is_one_of_a_set(tmp_path):
    (tmp_path / "s.yaml").write_text(SET)
    code, _, error = call(tmp_path, "search", "--campaign", "s.yaml")
    assert (code, "boundaries: makes this the file of a set" in error) == (2, True)
