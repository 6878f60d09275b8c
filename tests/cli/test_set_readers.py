"""Every reader of results on a set of boundaries: all of them, one of them, or a sentence."""

import contextlib
import csv
import io
import json
import shutil
import sys

import ase.io
import pytest
import yaml

from gcd_hpc import cli
from gcd_hpc.config.loader import dump_set, load_campaign_or_set
from gcd_hpc.store.run_directory import RunDirectory
from tests.browse.sets import LOWEST, NOT_BEGUN, make_set

ORDER = ["s5_310", "s5_210", "s13_320"]
CHOOSE = "is a set of 4 boundaries; choose one: gcd-hpc"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readers")
    make_set(folder)
    return folder


def call(folder, *words):
    """Exit code, standard output and standard error of a command in a folder, in this process."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["gcd-hpc", *words])
        patch.setenv("COLUMNS", "200")
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code or 0
    return code, out.getvalue(), err.getvalue()


def answer(folder, *words):
    code, text, error = call(folder, *words)
    assert (code, error) == (0, ""), error
    return text


def rows(folder, *words):
    return json.loads(answer(folder, *words, "--json"))


def test_top_lists_the_lowest_of_each_boundary(folder):
    found = rows(folder, "top", "run")
    assert [next(iter(row.items())) for row in found] == [("boundary", name) for name in ORDER]
    assert {row["boundary"]: row["gb_energy_j_m2"] for row in found} == LOWEST
    assert len(rows(folder, "top", "run", "--num", "2")) == 6
    lines = list(csv.DictReader(answer(folder, "top", "run", "--per-n", "--csv").splitlines()))
    assert [(line["boundary"], line["n_index"]) for line in lines] == [
        *[("s5_310", "0")],
        *[("s5_210", "1"), ("s5_210", "2"), ("s5_210", "3")],
        *[("s13_320", "0"), ("s13_320", "1")],
    ]
    assert "boundary" in answer(folder, "top", "run").splitlines()[0]


def test_ls_sorts_the_candidates_of_all_boundaries_together(folder):
    lowest = rows(folder, "ls", "run", "--sort", "energy", "--num", "3")
    assert [row["boundary"] for row in lowest] == ["s13_320", "s13_320", "s13_320"]
    highest = rows(folder, "ls", "run", "--sort", "energy", "--num", "0", "--descending")
    energies = [row["gb_energy_j_m2"] for row in highest]
    # Candidates that failed have no energy and come last either way.
    assert energies[9:] == [None] * 3
    assert energies[:9] == sorted(energies[:9], reverse=True)
    assert [row["boundary"] for row in rows(folder, "ls", "run", "--num", "5")] == [
        *["s5_310"] * 4,
        "s5_210",
    ]
    assert "12 candidates, of which 3 with status=failed" in answer(
        folder, "ls", "run", "--select", "status=failed"
    )


def test_export_makes_one_table_or_a_file_or_folder_for_each_boundary(folder, tmp_path):
    out = tmp_path / "all.csv"
    answer(folder, "export", "run", "--format", "csv", "--out", str(out))
    table = list(csv.DictReader(out.read_text().splitlines()))
    assert next(iter(table[0])) == "boundary" and len(table) == 12
    assert {row["boundary"] for row in table} == set(ORDER)
    words = ("export", "run", "--select", "energy<0.95", "--out", str(tmp_path / "x"))
    answer(folder, *words, "--format", "extxyz")
    found = {path.stem: ase.io.read(path, ":") for path in (tmp_path / "x").iterdir()}
    assert {name: len(frames) for name, frames in found.items()} == {
        "s5_310": 1,
        "s5_210": 1,
        "s13_320": 3,
    }
    energies = [atoms.info["gb_energy_j_m2"] for atoms in found["s5_210"]]
    assert energies == [LOWEST["s5_210"]]
    answer(folder, *words, "--format", "poscar")
    assert (tmp_path / "x" / "s5_210" / "search-000001.poscar").is_file()
    code, _, error = call(folder, *words, "--format", "cif", "--select", "energy<0")
    assert code == 2 and "nothing to export" in error


def test_failures_name_the_boundary(folder):
    found = rows(folder, "failures", "run")
    assert [row["boundary"] for row in found["failures"]] == ORDER
    names = [f"{boundary}.search-000003" for boundary in ORDER]
    expected = {"class": "physics", "kind": "candidate", "reason": "NaN", "num": 3, "names": names}
    assert found["counts"] == [expected]


def test_verify_looks_at_every_boundary(folder):
    # The structures are made up, and so are their energies.
    code, text, _ = call(folder, "verify", "run", "--json")
    assert code == 1
    report = json.loads(text)
    files = " ".join(finding["file"] for finding in report["findings"])
    assert all(f"boundaries/{name}/" in files for name in ORDER)


def test_status_has_a_line_for_each_boundary(folder):
    found = rows(folder, "status", "run")
    assert [one["boundary"] for one in found["boundaries"]] == [*ORDER, NOT_BEGUN]
    # The candidates are made up, without a campaign.
    assert "4 boundaries: 3 no ledger, 1 not begun" in answer(folder, "status", "run")


@pytest.mark.parametrize(
    "words",
    [
        ("show", "run", "search-000001"),
        ("plot", "run"),
        ("merge", "run", "--out", "merged.h5"),
        ("browse", "run", "--html", "page.html"),
        ("rescore", "run", "--engine", "emt"),
        ("import", "run", "vasp"),
    ],
    ids=lambda words: words[0],
)
def test_what_is_about_one_boundary_says_how_to_choose_one(folder, words):
    code, text, error = call(folder, *words)
    assert (code, text) == (2, "")
    assert error.startswith(f"gcd-hpc: run: {CHOOSE} {words[0]} run/boundaries/NAME")
    assert len(error.splitlines()) == 1


def test_the_overview_is_a_table_csv_json_and_a_figure(folder, tmp_path):
    (tmp_path / "list.csv").write_text("plane,upper_bound_j_m2\n2 1 0,0.951\n")
    words = ("overview", "run", "--reference", str(tmp_path / "list.csv"))
    text = answer(folder, *words, "--out", str(tmp_path / "overview.svg"))
    lines = text.splitlines()
    assert lines[0].split()[:3] == ["boundary", "Sigma", "axis"]
    assert [line.split()[0] for line in lines[1:5]] == [*ORDER, NOT_BEGUN]
    assert "0.9400   0.951    -0.011" in lines[2]
    assert "1 of 1 boundaries in the list are at or below it" in text
    assert (tmp_path / "overview.svg").stat().st_size > 4000
    table = list(csv.DictReader(answer(folder, *words, "--csv").splitlines()))
    assert [row["plane"] for row in table] == ["(3 1 0)", "(2 1 0)", "(3 2 0)", "(0 0 1)"]
    assert (table[1]["reference_j_m2"], table[0]["reference_j_m2"]) == ("0.951", "")
    assert rows(folder, "overview", "run")[3]["gb_energy_j_m2"] is None


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("run", "--out", "o.bmp"), "a figure cannot be written with .bmp"),
        (("run", "--json", "--csv"), "exclude each other"),
        (("nowhere",), "holds no results"),
        (("run", "--reference", "nowhere.csv"), "the list of energies cannot be read"),
    ],
)
def test_a_mistake_about_the_overview_is_one_sentence(folder, words, problem):
    code, _, error = call(folder, "overview", *words)
    assert code == 2 and problem in error and len(error.splitlines()) == 1


def test_one_boundary_is_chosen_by_its_name(folder):
    alone = answer(folder, "top", "run/boundaries/s5_210", "--json")
    assert answer(folder, "top", "run", "--boundary", "s5_210", "--json") == alone
    assert "search-000001" in answer(
        folder, "show", "run", "search-000001", "--boundary", "s13_320"
    )


def test_a_wrong_choice_is_refused(folder):
    code, _, error = call(folder, "top", "run", "--boundary", "s5_211")
    assert code == 2 and "did you mean s5_210?" in error
    code, _, error = call(folder, "ls", "run/boundaries/s5_210", "--boundary", "s5_210")
    assert code == 2 and "is no set of boundaries" in error


def test_a_set_without_candidates_has_empty_tables(tmp_path):
    make_set(tmp_path, {})
    assert rows(tmp_path, "top", "run") == rows(tmp_path, "ls", "run") == []
    assert call(tmp_path, "verify", "run")[0] == 2
    assert call(tmp_path, "report", "run")[0] == 2


@pytest.fixture
def with_ledger(tmp_path, smoke):
    """A set whose first boundary is the finished smoke campaign."""
    campaign = yaml.safe_load(RunDirectory(smoke.run_dir).config.read_text())
    first = {"name": "done"}
    boundary = campaign.pop("boundary")
    first |= {key: boundary[key] for key in ("lower", "upper")}
    second = {"name": "waiting", "sigma": 5, "axis": [0, 0, 1], "plane": [2, 1, 0]}
    shared = {"element": "W", "lattice": "bcc"}
    content = campaign | {"name": "two", "boundary": shared, "boundaries": [first, second]}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(content))
    run = RunDirectory(tmp_path / "run")
    run.boundaries.mkdir(parents=True)
    run.config.write_text(dump_set(load_campaign_or_set(tmp_path / "s.yaml")))
    shutil.copytree(smoke.run_dir, run.member("done").path)
    return tmp_path


@pytest.mark.lammps
@pytest.mark.mpi
def test_status_report_and_verification_of_a_set_are_those_of_its_boundaries(with_ledger):
    status = rows(with_ledger, "status", "run")
    alone = rows(with_ledger, "status", "run/boundaries/done")
    assert status["statuses"] == {"complete": 1, "not begun": 1}
    assert status["tried"] == alone["tried"]
    report = rows(with_ledger, "report", "run")
    one = rows(with_ledger, "report", "run/boundaries/done")
    assert report["pools"] == one["pools"]
    (boundary,) = report["boundaries"]
    assert boundary["tries"] == sum(source["tries"] for source in one["sources"])
    assert boundary["core_s"] == pytest.approx(sum(source["core_s"] for source in one["sources"]))
    assert rows(with_ledger, "verify", "run")["path"] == "run"
    (done, _) = sorted(rows(with_ledger, "overview", "run"), key=lambda row: row["boundary"])
    assert done["status"] == "complete" and done["tries"] == boundary["tries"]
