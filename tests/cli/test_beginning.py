"""A first campaign: gcd-hpc init with options and with questions, and gcd-hpc boundaries."""

import json
import os
import pty
import re
import sys
import time
from pathlib import Path

import pytest

from gcd_hpc.campaign.draft import Draft, checked, lattice_of, potential_of
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.config.miller import parsed
from gcd_hpc.engines.library import potentials_for
from gcd_hpc.errors import GcdError
from gcd_hpc.store.run import open_run
from tests.cli import test_naming
from tests.cli.test_set_readers import call

CU = ["--element", "Cu", "--sigma", "5", "--plane", "210", "--axis", "001"]
pytestmark = pytest.mark.lammps


def answer(folder: Path, answers: list[str], *words: str) -> tuple[int, str]:
    """Exit code and screen of a command on a terminal, with a line typed for each question."""
    child, terminal = pty.fork()
    if not child:
        os.chdir(folder)
        os.execv(sys.executable, [sys.executable, "-m", "gcd_hpc.cli", *words])
    screen, deadline = "", time.monotonic() + 60
    left = list(answers)
    while time.monotonic() < deadline:
        try:
            part = os.read(terminal, 4096).decode()
        except OSError:
            break  # The command has ended.
        screen += part
        # Every question ends with its default, or with a colon.
        if left and screen.rstrip(" ").endswith(":"):
            os.write(terminal, f"{left.pop(0)}\n".encode())
            screen += "\n"
        if not part:
            break
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), screen


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("210", (2, 1, 0)),
        ("1-10", (1, -1, 0)),
        ("-2-10", (-2, -1, 0)),
        ("11,2,0", (11, 2, 0)),
        ("[2 -1 0]", (2, -1, 0)),
        ("(5, -5, 2)", (5, -5, 2)),
        ("0001", (0, 0, 0, 1)),
        ("-13-20", (-1, 3, -2, 0)),
    ],
)
def test_indices_are_read_as_people_write_them(text, indices):
    assert parsed(text) == indices


@pytest.mark.parametrize(
    "text", ["", "21", "2100", "2a0", "2 1", "1.5,0,0", "--1 0 0", "000", "0 0 0"]
)
def test_other_text_is_no_direction(text):
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        parsed(text)


def test_a_file_written_from_options_is_sound_and_short(tmp_path):
    code, text, _ = call(tmp_path, "init", *CU, "--out", "cu.yaml")
    assert code == 0
    assert text == "cu.yaml: Cu (fcc) with Cu_mishin1.eam.alloy; next: gcd-hpc check cu.yaml\n"
    boundary = load_campaign(tmp_path / "cu.yaml").boundary
    assert (boundary.sigma, boundary.axis, boundary.plane) == (5, (0, 0, 1), (2, 1, 0))
    assert len((tmp_path / "cu.yaml").read_text().splitlines()) < 40
    assert "Cu_zhou.eam.alloy" in (tmp_path / "cu.yaml").read_text()
    code, text, _ = call(tmp_path, "check", "cu.yaml")
    assert (code, text.count("sound")) == (0, 2)


def test_a_file_of_an_hcp_element_is_written_from_four_indices(tmp_path):
    name = ["--sigma", "7", "--axis", "0001", "--plane=-13-20"]
    code, text, _ = call(tmp_path, "init", "--element", "Ti", *name, "--out", "ti.yaml")
    assert (code, text.startswith("ti.yaml: Ti (hcp) with ")) == (0, True)
    boundary = load_campaign(tmp_path / "ti.yaml").boundary
    assert (boundary.axis, boundary.plane) == ((0, 0, 0, 1), (-1, 3, -2, 0))


def test_boundaries_of_hcp_are_listed_about_its_axis(tmp_path):
    words = ["--element", "Ti", "--axis", "0001", "--max-sigma", "13", "--json"]
    code, text, _ = call(tmp_path, "boundaries", *words)
    assert code == 0
    found = [(one["sigma"], one["kind"], one["lower_plane"]) for one in json.loads(text)]
    assert (7, "twist", [0, 0, 0, 1]) in found
    assert (7, "symmetric tilt", [2, 1, -3, 0]) in found
    assert {sigma for sigma, _, _ in found} == {7, 13}
    code, _, error = call(tmp_path, "boundaries", "--element", "Ti", "--axis", "1010")
    assert (code, "axis must be" in error) == (2, True)


def test_a_file_that_exists_is_only_replaced_when_told(tmp_path):
    (tmp_path / "cu.yaml").write_text("mine")
    code, _, error = call(tmp_path, "init", *CU, "--out", "cu.yaml")
    assert (code, (tmp_path / "cu.yaml").read_text()) == (2, "mine")
    assert error.startswith("gcd-hpc: cu.yaml exists; ")
    assert call(tmp_path, "init", *CU, "--out", "cu.yaml", "--force")[0] == 0
    assert load_campaign(tmp_path / "cu.yaml").name == "cu_sigma5_210"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--element", "Ca"], "LAMMPS ships none for Ca"),
        (["--element", "Ga"], "--lattice is required, because the crystal of Ga (orthorhombic)"),
        (["--element", "Ti"], "no rotation about [0 0 0 1] of hcp has Sigma 5; the nearest"),
        (["--element", "Cuu"], "--element must be a chemical symbol such as W or Cu, got Cuu"),
        (["--lattice", "hpc"], "--lattice must be one of sc, bcc, fcc, diamond, hcp, got hpc"),
        (["--potential", "Ni_u3.eam"], "--potential: Ni_u3.eam holds Ni, not Cu"),
        (["--potential", "no.eam"], "there is no file no.eam; those that LAMMPS ships for Cu are"),
        (["--potential", "Al_jpc.agni"], "its pair style does not follow from its name"),
        (["--potential", "Ta06A.snap"], "--potential: Ta06A.snap holds Ta, not Cu"),
        (["--potential", "WBe_Wood_PRB2019.mliap"], "holds W, Be, not Cu"),
        (["--potential", "SiC.meam"], "SiC.meam holds Si, C, not Cu"),
        (["--potential", "CuTa_eam.poly"], "is for atoms of Cu, Ta together"),
        (
            ["--potential", "Cu-PBE-core-rep.ace"],
            "is no pair style of the LAMMPS that",
        ),
        (["--sigma", "7"], "no rotation about [0 0 1] has Sigma 7; the nearest that exist are 5"),
        (["--sigma", "2"], "init: boundary.sigma: must be at least 3, got 2"),
        (["--angle", "70"], "no coincidence of Sigma 5 about [0 0 1] lies within 0.5 degrees"),
        (["--plane", "211"], "boundary.plane: must contain the axis [0 0 1]"),
        (
            ["--plane", "21"],
            "must be three whole numbers such as 210 or 11,2,0, not all 0, or four in hcp such as",
        ),
        (["--upper-plane", "111"], "does not join the plane (2 1 0) to (1 1 1), but to {2 1 0} or"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_refused_in_one_sentence_and_nothing_is_written(
    tmp_path, options, sentence
):
    code, _, error = call(tmp_path, "init", *CU, *options, "--out", "cu.yaml")
    assert code == 2
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_without_a_terminal_nothing_is_asked(tmp_path):
    code, _, error = call(tmp_path, "init")
    assert code == 2
    assert error == "gcd-hpc: --element is required where there is no terminal to ask on\n"


def test_on_a_terminal_questions_lead_to_a_sound_file(tmp_path):
    # Element, axis, a number that no boundary has, one that one has, number of the potential, file.
    code, screen = answer(tmp_path, ["Cu", "001", "99", "3", "2", "mine.yaml"], "init")
    assert code == 0, screen
    config = load_campaign(tmp_path / "mine.yaml")
    assert (config.boundary.sigma, config.boundary.plane) == (5, (2, 1, 0))
    assert config.potential.file == "Cu_zhou.eam.alloy"


def test_a_potential_of_ones_own_is_named_by_its_path(tmp_path):
    shipped = potentials_for("Cu", "fcc")[0].path
    mine = tmp_path / "mine.eam.alloy"
    mine.write_bytes(shipped.read_bytes())
    out = tmp_path / "deep" / "cu.yaml"
    out.parent.mkdir()
    code, _, error = call(tmp_path, "init", *CU, "--potential", "mine.eam.alloy", "--out", str(out))
    assert code == 0, error
    assert load_campaign(out).potential.file == str(mine)


@pytest.mark.parametrize(
    "element",
    [
        *("Al", "Fe", "Si", "W"),
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in ("C", "Cu", "Mo", "Nb", "Ni", "Pb", "Ta", "V")
        ),
    ],
)
def test_every_potential_that_is_listed_makes_a_sound_file(tmp_path, element):
    lattice = lattice_of(element, None)
    known = potentials_for(element, lattice)
    assert potential_of(element, lattice, None) == known[0]
    for one in known:
        assert element in one.elements
        draft = Draft(element, lattice, {"sigma": 5, "axis": (0, 0, 1), "twist": True}, one)
        assert checked(draft, "a", tmp_path)


def test_potentials_of_the_crystal_and_of_the_element_alone_come_first():
    names = [one.path.name for one in potentials_for("Cu", "fcc")]
    assert names[0] == "Cu_mishin1.eam.alloy"
    assert names.index("Cu_u3.eam") < names.index("CuNi.eam.alloy")


def test_a_potential_of_an_element_that_lammps_ships_none_for_is_asked_for():
    with pytest.raises(GcdError, match="LAMMPS ships none for Ca of a pair style"):
        potential_of("Ca", "fcc", None)


def test_boundaries_are_listed_as_a_table_and_as_json(tmp_path):
    words = ["boundaries", "--element", "W", "--axis", "001", "--max-sigma", "29"]
    code, text, _ = call(tmp_path, *words)
    assert code == 0
    assert text.splitlines()[0].rstrip() == "W (bcc), axis [0 0 1]"
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert any(line.startswith("5 53.13 symmetric tilt (2 1 0) (1 2 0) 3.16") for line in lines)
    records = json.loads(call(tmp_path, *words, "--json")[1])
    assert [one["sigma"] for one in records] == sorted(one["sigma"] for one in records)
    assert {one["sigma"] for one in records} == {5, 13, 17, 25, 29}
    assert records[2]["boundary"] == {"sigma": 5, "axis": [0, 0, 1], "plane": [2, 1, 0]}


def test_an_axis_without_a_sigma_up_to_the_limit_is_said(tmp_path):
    code, text, _ = call(
        tmp_path, "boundaries", "--element", "W", "--axis", "001", "--max-sigma", "4"
    )
    assert (code, text) == (0, "there is no Sigma up to 4 about [0 0 1]; raise --max-sigma\n")


@pytest.mark.slow
def test_three_commands_find_the_ground_state_of_copper_210_in_an_empty_folder(tmp_path):
    started = test_naming.call  # in processes of their own
    assert started(tmp_path, "init", *CU, "--out", "cu.yaml")[0] == 0
    assert started(tmp_path, "check", "cu.yaml")[0] == 0
    words = ("search", "--campaign", "cu.yaml", "--num", "40")
    code, _, error = started(tmp_path, *words, timeout=600)
    assert code == 0, error
    run = open_run(tmp_path / "runs" / "cu_sigma5_210-search")
    # The published kite structure has 0.951 J/m^2 with this potential.
    assert run.lowest(1)[0].gb_energy_j_m2 <= 0.952
