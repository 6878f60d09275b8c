"""Reports of runs and sets: whole, alone, the same each time, honest about what is not there."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from gcd_hpc.browse.report.document import Document, Paragraph, Section, pieces, table
from gcd_hpc.browse.report.found import Found, is_independent
from gcd_hpc.browse.report.html import to_html
from gcd_hpc.browse.report.pdf import to_pdf
from gcd_hpc.browse.report.writing import report_document, write_reports
from gcd_hpc.errors import StoreError
from gcd_hpc.phases.diagram_inputs import diagram_of, write_diagram
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run_directory import RunDirectory
from tests.browse.sets import LOWEST, NOT_BEGUN, make_set
from tests.phases.made import made_record
from tests.store.synthetic import CONFIG, make_candidate

STORE = Path(__file__).parents[2] / "store"
"""Folder of files that earlier versions wrote."""
HOME = "/home/somebody/potentials/"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def run(folder):
    return RunDirectory(folder).member("s5_210").path


@pytest.fixture(scope="module")
def html(run):
    return to_html(report_document(run))


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_the_html_needs_no_other_file_and_runs_nothing(html):
    tags = Tags(html).found
    assert not [tag for tag, _ in tags if tag in ("script", "link", "iframe", "object")]
    sources = [found["src"] for tag, found in tags if tag == "img"]
    assert len(sources) >= 3 and all(one.startswith("data:image/png;base64,") for one in sources)
    assert all(found["href"].startswith("#") for tag, found in tags if tag == "a")
    assert all(found["alt"] for tag, found in tags if tag == "img")


def test_the_report_says_what_was_found_where_and_with_what(html):
    for words in (
        *("Σ5", "symmetric tilt", "(2 1 0)", "Cu", "eam/alloy", "Cu_mishin1.eam.alloy"),
        *("0.9400 J/m²", "search-000001", "seed", "gcd-hpc"),
    ):
        assert words in html, words
    assert "Good-Turing" in html and "Chao" in html and "Assumptions" in html


def test_no_path_of_the_authors_machine_is_in_a_report(run, tmp_path):
    copy = tmp_path / "somebodys_run"
    shutil.copytree(run, copy)
    part = RunDirectory(copy).search_part(0)
    found = Found.of(copy)
    config = found.run.provenance["config"].replace("Cu_mishin1", f"{HOME}Cu_mishin1")
    write_part(part, list(found.run), {"config": config})
    text = to_html(report_document(copy))
    assert HOME not in text and str(tmp_path) not in text
    assert "Cu_mishin1.eam.alloy" in text


def test_what_was_not_measured_is_said_with_the_command_that_measures_it(html):
    commands = set(re.findall(r"gcd-hpc ([a-z-]+) RUN", html))
    assert commands == {"phases", "free-energy", "hold", "gamma", "diagram"}


def test_a_run_without_relaxed_structures_has_a_report_that_says_so(tmp_path):
    failed = make_candidate(0, status="failed", reason="NaN", failure="physics")
    write_part(RunDirectory(tmp_path).search_part(0), [failed], {"config": CONFIG})
    text = to_html(report_document(tmp_path))
    assert "no candidate was relaxed yet" in text and "0 relaxed" in text


def test_the_report_of_a_set_has_an_overview_and_a_page_a_boundary(folder, tmp_path):
    document = report_document(folder)
    pages = [one.title for one in document.sections if one.level == 3]
    assert [title.partition(":")[0] for title in pages] == ["s13_320", "s5_210", "s5_310"] or len(
        pages
    ) == len(LOWEST)
    assert NOT_BEGUN in to_html(document)
    shutil.copytree(folder, tmp_path / "set")
    for name in LOWEST:
        shutil.rmtree(RunDirectory(tmp_path / "set").member(name).path)
    with pytest.raises(StoreError, match="no boundary has begun"):
        report_document(tmp_path / "set")


def test_the_same_run_gives_the_same_bytes_and_nothing_is_written_into_it(run, html, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    (written,) = write_reports(run, tmp_path / "again.html", None)
    assert written.read_text(encoding="utf-8") == html
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_the_pdf_has_every_section_and_the_same_bytes_each_time(run):
    document = report_document(run)
    content = to_pdf(document)
    assert content.startswith(b"%PDF-") and to_pdf(document) == content
    assert content.count(b"/Subtype /Image") >= 3
    # Embedded fonts: no reader has to have them.
    assert content.count(b"/FontFile2") >= 3


def test_wide_tables_and_long_texts_stay_on_the_page_of_a_pdf():
    wide = table("Wide.", ["name"] * 12, [["a long cell of many words " * 3] * 12] * 80)
    long = Paragraph("word " * 3000 + "x" * 400)
    content = to_pdf(Document("T", "s", "about", (Section("A", (wide, long)),)))
    # ReportLab refuses what is larger than a page; the rest is split over several.
    assert int(re.search(rb"/Count (\d+)", content)[1]) > 10


@pytest.mark.parametrize(
    "version", [1, *(pytest.param(one, marks=pytest.mark.slow) for one in (2, 3, 4, 5, 6)), 7]
)
def test_files_of_older_versions_have_a_report_of_what_they_hold(version):
    document = report_document(STORE / f"golden_v{version}.h5")
    assert to_pdf(document)
    assert re.search(r"\d tried: \d relaxed, 0 refused, \d failed", to_html(document))


def test_signs_of_html_in_texts_stay_text():
    note = Paragraph("<b>5 < 6 & `a<b` in `c`")
    text = to_html(Document("<T>", "s", "about", (Section("A & B", (note,)),)))
    assert "&lt;b&gt;5 &lt; 6 &amp; <code>a&lt;b</code> in <code>c</code>" in text
    assert "<h1>&lt;T&gt;</h1>" in text and "<b>" not in text
    assert pieces("a `b` c") == [("a ", False), ("b", True), (" c", False)]


def test_random_tries_and_models_candidates_are_independent_and_moves_are_not():
    source = np.array(["search", "model", "explore", "explore", "explore"], dtype=object)
    move = np.array(["", "", "fresh", "shake", "inpaint-window"], dtype=object)
    assert is_independent(source, move).tolist() == [True, True, True, False, False]


@pytest.fixture
def with_measurements(run, tmp_path):
    """The run with records as the commands of phases write them."""
    shutil.copytree(run, tmp_path / "run")
    found = Found.of(tmp_path / "run")
    files = RunDirectory(tmp_path / "run")
    first, second = found.phases[:2]
    stresses = {"excess_stress_n_m": [1.25, 2, 0], "excess_stress_by_strain_n_m": [1.26, 2, 0]}
    excess = {"gb_energy_j_m2": 0.9393, "excess_volume_a": 0.31, **stresses}
    kelvin = [0.0, 300.0, 600.0]
    kinds = [(first, "excess", {"strain": 0.001}, excess)]
    for phase, energies in ((first, [0.9, 0.8, 0.7]), (second, [1.0, 0.82, 0.6])):
        free = {
            "temperatures_k": kelvin,
            "free_energy_j_m2": energies,
            "classical_free_energy_j_m2": energies,
            "error_j_m2": [0.001] * 3,
        }
        kinds.append((phase, "free-energy", {"temperatures_k": kelvin}, free))
    held = {"temperature_k": 400.0, "ps": 100.0, "replicas": [2, 2], "ends": "periodic"}
    course = {"time_ps": [0.0, 50.0, 100.0], "distances": [0.0, 0.02, 0.004]}
    outcome = {"last_distance": 0.004, "verdict": "stays", **course}
    kinds.append((first, "hold", held, outcome))
    for phase, kind, settings, results in kinds:
        path = files.measured(kind, phase.file_name)
        path.parent.mkdir(parents=True, exist_ok=True)
        made_record(phase, kind, results, settings).write(path)
    return tmp_path / "run"


def test_what_was_measured_of_phases_is_in_the_report_and_its_command_is_not(with_measurements):
    text = to_html(report_document(with_measurements))
    for words in ("0.9393", "1.2500", "1.2600", "stays", "2×2", "Temperatures at which two"):
        assert words in text, words
    assert re.search(r'<td class="right">350</td>', text)
    assert set(re.findall(r"gcd-hpc ([a-z-]+) RUN", text)) == {"gamma", "diagram"}
    found = Found.of(with_measurements)
    write_diagram(with_measurements, diagram_of(found.run, found.phases, "strain"))
    text = to_html(report_document(with_measurements))
    assert set(re.findall(r"gcd-hpc ([a-z-]+) RUN", text)) == {"gamma"}
    assert "Stable phase against in-plane strain" in text


@pytest.mark.slow
def test_a_measurement_of_a_structure_that_is_no_phase_any_more_is_left_out(with_measurements):
    files, found = RunDirectory(with_measurements), Found.of(with_measurements)
    other = made_record(found.phases[1], "excess", {})
    other.write(files.measured("excess", found.phases[0].file_name))
    assert "phases RUN --measure" in to_html(report_document(with_measurements))
