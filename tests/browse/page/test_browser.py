"""The page and the report in a real browser that has no way out: every test also sees to it that
nothing tries, and nothing complains.
"""

from contextlib import ExitStack
from dataclasses import replace

import ase.io
import numpy as np
import pytest
from playwright.sync_api import expect

from gcd_hpc.browse.page import contents
from gcd_hpc.browse.page.standalone import write_page
from gcd_hpc.phases.clustering import find_phases
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run import open_run
from gcd_hpc.store.run_directory import RunDirectory
from tests.browse.page.browsing import opened, picture_of
from tests.browse.page.conftest import BEST, made, serving
from tests.browse.sets import make_set
from tests.store.synthetic import CONFIG

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def shared(browser, served):
    with opened(
        browser, served.url, (served.url, f"blob:http://127.0.0.1:{served.server_port}/", "data:,")
    ) as page:
        yield page


@pytest.fixture
def page(shared):
    """The same page for all, without a filter and sorted by energy."""
    shared.click("#tab-candidates")
    shared.click("#clear")
    if shared.get_attribute("th:has([data-sort=gb_energy_j_m2])", "aria-sort") != "ascending":
        shared.click("[data-sort=gb_energy_j_m2]")
    expect(shared.locator("#filter-note")).to_contain_text("60 of 60 candidates")
    expect(shared.locator("#table tbody tr").first).to_have_attribute("data-id", BEST)
    return shared


@pytest.fixture
def made_page(browser, tmp_path):
    """Opens the page of some candidates."""
    with ExitStack() as stack:

        def show(candidates):
            path = tmp_path / "some.h5"
            write_part(path, candidates, {"config": CONFIG})
            server = stack.enter_context(serving(path))
            allowed = (server.url, f"blob:http://127.0.0.1:{server.server_port}/", "data:,")
            return stack.enter_context(opened(browser, server.url, allowed))

        yield show


def ids(page):
    return page.eval_on_selector_all("#table tbody tr", "rows => rows.map((row) => row.dataset.id)")


def drawn(page):
    """Pixels of the 3D view on which there is an atom, and how many colours they have."""
    picture = picture_of(page)
    atoms = picture[picture[..., 3] > 0]
    return len(atoms), len(np.unique((atoms[:, :3] * 16).astype(int), axis=0))


def sees(page, name):
    """Wait until the structure is the one in the 3D view."""
    expect(page.locator("#structure-title")).to_have_text(name)
    expect(page.locator("#view")).to_have_attribute("data-id", name)


def test_the_page_shows_the_map_and_the_structure_of_the_lowest_energy(page):
    assert page.locator("#map .point").count() == 54
    sees(page, BEST)
    expect(page.locator("#map .ring")).to_have_attribute("data-chosen", BEST)
    expect(page.locator("#facts")).to_contain_text("2.2970 J/m²")
    num_pixels, num_colours = drawn(page)
    assert num_pixels > 500 and num_colours > 20


def test_a_click_on_a_point_changes_the_structure_and_marks_its_row(page):
    # The symbols of other structures may lie upon it.
    page.dispatch_event("#map .point[data-id=search-000000]", "click")
    sees(page, "search-000000")
    expect(page.locator("#map .ring")).to_have_attribute("data-chosen", "search-000000")
    expect(page.locator("#table tr[data-id=search-000000]")).to_have_attribute(
        "aria-selected", "true"
    )


def test_the_next_structure_is_drawn_as_atoms_too(page):
    page.click(f"#table tr[data-id={BEST}]")
    sees(page, BEST)
    first = drawn(page)
    page.click("#table tr[data-id=model-02-000007]")
    sees(page, "model-02-000007")
    # As many atoms of the same size; thin lines would leave most of the pixels empty.
    assert 0.6 < drawn(page)[0] / first[0] < 1.7


def test_a_click_on_a_row_changes_the_structure_and_marks_its_point(page):
    page.click("#table tr[data-id=model-02-000003]")
    sees(page, "model-02-000003")
    expect(page.locator("#map .ring")).to_have_attribute("data-chosen", "model-02-000003")


def test_arrow_keys_go_from_structure_to_structure(page):
    first, second = ids(page)[:2]
    page.click(f"#table tr[data-id={first}]")
    page.keyboard.press("ArrowDown")
    sees(page, second)
    page.keyboard.press("ArrowUp")
    sees(page, first)
    page.focus("#map")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#facts")).to_contain_text("[n]0.6")


def test_the_table_and_the_map_are_filtered_by_words_and_by_the_controls_that_write_them(page):
    page.keyboard.press("/")
    page.keyboard.type("source=search energy<2.9")
    expect(page.locator("#filter-note")).to_contain_text("6 of 60 candidates")
    assert len(ids(page)) == page.locator("#map .point").count() == 6
    page.select_option("#by-n", "n=0.1")
    expect(page.locator("#filter-note")).to_contain_text("2 of 60 candidates")
    assert page.input_value("#select") == "source=search energy<2.9 n=0.1"
    page.select_option("#by-source", "version=2")
    assert page.input_value("#select") == "energy<2.9 n=0.1 version=2"
    page.select_option("#by-status", "status=failed")
    expect(page.locator("#map")).to_contain_text("No relaxed structures")


def test_the_table_is_sorted_by_a_click_on_a_heading(page):
    energies = "rows => rows.map((row) => Number(row.cells[1].textContent.replace('*', '')))"
    page.fill("#select", "status=ok")
    expect(page.locator("#filter-note")).to_contain_text("54 of 60")
    up = page.eval_on_selector_all("#table tbody tr", energies)
    page.click("[data-sort=gb_energy_j_m2]")
    expect(page.locator("th:has([data-sort=gb_energy_j_m2])")).to_have_attribute(
        "aria-sort", "descending"
    )
    down = page.eval_on_selector_all("#table tbody tr", energies)
    assert up == sorted(up) and down == sorted(down, reverse=True) and up != down
    page.click("[data-sort=id]")
    expect(page.locator("#table tbody tr").first).to_have_attribute("data-id", "model-01-000000")


def test_the_table_has_pages(page):
    expect(page.locator("#page-note")).to_have_text("1 to 50 of 60")
    page.click("#next")
    expect(page.locator("#page-note")).to_have_text("51 to 60 of 60")
    assert page.is_disabled("#next")


def test_colours_follow_what_is_asked_for(page):
    fills = "points => new Set(points.map((point) => point.getAttribute('fill'))).size"
    assert page.eval_on_selector_all("#map .point", fills) == 2
    page.select_option("#map-colour", "round")
    assert page.eval_on_selector_all("#map .point", fills) == 3
    page.select_option("#map-colour", "excess_volume_a")
    assert page.eval_on_selector_all("#map .point", fills) > 10
    page.select_option("#map-colour", "source")
    page.click(f"#table tr[data-id={BEST}]")
    page.select_option("#atom-colour", "element")
    plain = drawn(page)[1]
    page.select_option("#atom-colour", "energy")
    assert drawn(page)[1] > 1.5 * plain


def test_a_download_is_what_ase_reads(page, run):
    page.click(f"#table tr[data-id={BEST}]")
    sees(page, BEST)
    page.select_option("#format", "extxyz")
    with page.expect_download() as download:
        page.click("#download-one")
    (candidate,) = open_run(run)[[BEST]]
    atoms = ase.io.read(download.value.path(), format="extxyz")
    assert download.value.suggested_filename == f"{BEST}.xyz"
    np.testing.assert_allclose(atoms.positions, candidate.positions, atol=1e-7)  # eight decimals


def test_downloads_and_lists_are_within_reach_of_the_keyboard(page):
    page.focus("#format")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "download-one"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "download-selection"
    page.focus("#tab-candidates")
    for tab in ("tab-phases", "tab-progress"):
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.id") == tab


def test_the_table_keeps_the_focus_from_page_to_page(page):
    page.focus("#table tbody tr")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#page-note")).to_have_text("51 to 60 of 60")
    assert page.evaluate("document.activeElement.closest('#table tbody') !== null")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#page-note")).to_have_text("1 to 50 of 60")


def test_energies_that_are_left_out_can_be_drawn_and_colours_span_what_is_drawn(
    made_page,
):
    page = made_page(
        [made(i, "search", 0, gb_energy_j_m2=2.3 + i / 100) for i in range(4)]
        + [made(4, "search", 0, gb_energy_j_m2=9.0, excess_volume_a=30.0, n_fraction=0.1)]
    )
    points = page.locator("#map .point")
    expect(points).to_have_count(4)
    page.select_option("#map-colour", "excess_volume_a")
    expect(page.locator("#legend")).to_contain_text("0.33 Å")
    expect(page.locator("#map-note")).to_have_text("4 of 5 structures drawn; 1 outside the ranges")
    page.click("#draw-all")
    expect(points).to_have_count(5)
    expect(page.locator("#legend")).to_contain_text("30.00 Å")


def test_the_line_of_a_source_goes_through_its_lowest_points(page):
    lines = page.eval_on_selector_all("#map .hull", "lines => lines.map((l) => l.points.length)")
    assert len(lines) == 2
    stray = """lines => lines.flatMap((line) => [...line.points]).filter((corner) =>
      ![...document.querySelectorAll("#map .point")].some((point) => {
        const { e, f } = point.transform.baseVal.getItem(0).matrix;
        return Math.hypot(e - corner.x, f - corner.y) < 0.1;
      }))"""
    assert page.eval_on_selector_all("#map .hull", stray) == []


def test_exploration_has_its_own_colour_its_moves_are_chosen_and_its_work_is_listed(made_page):
    rows = [made(0, "search", 0), made(1, "search", 0), made(0, "model", 1)]
    for index, (move, version) in enumerate([("insert", 0), ("insert", 0), ("inpaint", 1)]):
        rows.append(replace(made(index, "explore", 0), move=move, version=version))
    page = made_page(rows)
    points = page.locator("#map .point")
    expect(points).to_have_count(6)
    fill = "points => new Set(points.map((point) => point.getAttribute('fill'))).size"
    assert page.eval_on_selector_all("#map .point", fill) == 3
    expect(page.locator("#legend")).to_contain_text("exploration")
    expect(page.locator("#legend")).to_contain_text("diffusion model with its in-painting moves")
    page.select_option("#by-source", "move=insert")
    expect(points).to_have_count(2)
    assert page.input_value("#select") == "move=insert"
    expect(page.locator("#table tbody tr").first).to_contain_text("insert")
    page.select_option("#by-source", "version=1")
    expect(points).to_have_count(2)
    page.click("#tab-progress")
    expect(page.locator("#work tbody tr")).to_have_count(5)
    expect(page.locator("#work tbody tr").nth(2)).to_contain_text("insert")
    expect(page.locator("#work-note")).to_contain_text("processor time")


def test_all_that_is_known_has_units_and_meanings_and_leaves_the_map_as_it_is(page):
    height = page.evaluate("document.getElementById('map').clientHeight")
    page.click("#structure-card summary")
    expect(page.locator("#all-facts div", has_text="cohesive_ev")).to_contain_text(" eV")
    title = page.locator("#all-facts div", has_text="cohesive_ev").get_attribute("title")
    assert title == "energy per atom of the bulk crystal"
    assert page.evaluate("document.getElementById('map').clientHeight") == height
    page.click("#structure-card summary")


def test_failures_are_listed_with_their_reasons(page):
    page.click("#tab-failures")
    expect(page.locator("#failures")).to_contain_text("expected finite energies")


def test_a_reason_leads_to_its_candidates_by_keyboard_too(page):
    page.click("#tab-failures")
    reason = page.locator("#failures button", has_text="expected finite energies")
    reason.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#tab-candidates")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#filter-note")).to_contain_text("6 of")
    listed = page.locator("#table tbody tr")
    expect(listed).to_have_count(6)
    expect(listed.first).to_contain_text("failed")
    page.click("#clear")


def test_figures_are_drawn_or_it_is_said_why_not(page):
    page.evaluate("document.querySelector('#tab-progress').click()")
    expect(page.locator("#figure-egb-n img")).to_be_visible()
    assert page.eval_on_selector("#figure-egb-n img", "image => image.naturalWidth") > 100


def test_the_page_fits_a_narrow_window(page):
    page.set_viewport_size({"width": 420, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    page.set_viewport_size({"width": 1280, "height": 900})


def test_the_page_follows_a_run_that_grows_and_keeps_the_place(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "LOOK_EVERY_S", 0.1)
    part = "parts/search/part-0000{}.h5"
    write_part(
        tmp_path / part.format(0),
        [made(index, "search", 0) for index in range(9)],
        {"config": CONFIG},
    )
    with serving(tmp_path) as server, opened(browser, server.url, server.url) as page:
        sees(page, "search-000000")
        page.fill("#select", "energy>0")
        expect(page.locator("#filter-note")).to_contain_text("9 of 9 candidates")
        write_part(
            tmp_path / part.format(1),
            [made(11, "search", 0, gb_energy_j_m2=2.1)],
            {"config": CONFIG},
        )
        expect(page.locator("#filter-note")).to_contain_text("10 of 10 candidates")
        # Nobody has chosen yet: the best is followed.
        sees(page, "search-000011")
        page.click("#table tr[data-id=search-000002]")
        sees(page, "search-000002")
        write_part(
            tmp_path / part.format(2),
            [made(12, "search", 0, gb_energy_j_m2=2.0)],
            {"config": CONFIG},
        )
        expect(page.locator("#best")).to_contain_text("2.000 J/m²")
        expect(page.locator("#map .point[data-id=search-000012]")).to_have_count(1)
        assert page.input_value("#select") == "energy>0"
        sees(page, "search-000002")


@pytest.fixture(scope="module")
def report(browser, run, tmp_path_factory):
    address = write_page(run, tmp_path_factory.mktemp("report") / "report.html", num=18).as_uri()
    with opened(browser, address, (address, "data:", f"blob:{address[:7]}", "blob:null/")) as page:
        yield page


def test_the_report_opens_from_the_disk_and_asks_for_nothing(report):
    sees(report, BEST)
    assert report.locator("#map .point").count() == 54
    report.fill("#select", "n=0.2 source=model")
    expect(report.locator("#filter-note")).to_contain_text("4 of 60 candidates")
    report.click("#table tr[data-id=model-01-000002]")
    sees(report, "model-01-000002")
    with report.expect_download() as download:
        report.click("#download-one")
    assert len(ase.io.read(download.value.path(), format="extxyz")) == 32
    report.click("#tab-progress")
    expect(report.locator("#figure-egb-n img")).to_be_visible()


def test_a_structure_that_the_report_does_not_hold_is_said(report):
    report.click("#tab-candidates")
    report.fill("#select", "status=failed")
    report.click("#table tr[data-id=search-000009]")
    expect(report.locator("#view-note")).to_contain_text(
        "holds the atoms of 18, the lowest of each [n]"
    )


SELECTIONS = [
    "n=0.2",
    "n!=0.2,0.3",
    "energy<2.9 source=model",
    "energy>=2.9",
    "status!=ok",
    "converged=true version=1,2",
    "round<=1",
]


@pytest.mark.parametrize("selection", SELECTIONS)
def test_the_report_selects_as_the_server_does(report, served, selection):
    expected = served.pages.contents.page(selection, "energy", True, 0, 100)
    script = (
        "(select) => source.rows({ select, sort: 'energy', descending: true, first: 0, num: 100 })"
    )
    assert report.evaluate(script, selection)["rows"] == expected["rows"]


def test_the_page_of_a_set_leads_to_each_boundary_and_back(browser, tmp_path):
    with serving(make_set(tmp_path)) as server:
        blob = f"blob:http://127.0.0.1:{server.server_port}/"
        with opened(browser, server.url, (server.url, blob, "data:,")) as page:
            names = "rows => rows.map((row) => row.dataset.boundary)"
            assert page.eval_on_selector_all("#boundaries tbody tr", names) == [
                *["s5_310", "s5_210", "s13_320"],
                "s5_twist",
            ]
            expect(page.locator("#figure")).to_be_visible()
            assert page.eval_on_selector("#figure", "image => image.naturalWidth") > 100
            page.click("[data-sort='GB energy (J/m^2)']")
            # The boundary that has not begun comes last.
            order = ["s13_320", "s5_310", "s5_210", "s5_twist"]
            assert page.eval_on_selector_all("#boundaries tbody tr", names) == order
            page.click("#boundaries a:text-is('s5_210')")
            sees(page, "search-000001")
            expect(page.locator("#best")).to_contain_text("0.940 J/m²")
            page.click("#up a")
            expect(page.locator("#counts")).to_contain_text("4 boundaries")


@pytest.mark.parametrize("is_file", [False, True], ids=["served", "as one file"])
def test_a_click_on_a_phase_filters_its_candidates_and_shows_its_structure(
    browser, tmp_path, is_file
):
    tilt = RunDirectory(make_set(tmp_path)).member("s5_210").path
    first, second = find_phases(open_run(tilt))[:2]
    with ExitStack() as stack:
        if is_file:
            url = write_page(tilt, tmp_path / "page.html").as_uri()
            allowed = (url, "data:", f"blob:{url[:7]}", "blob:null/")
        else:
            server = stack.enter_context(serving(tilt))
            url = server.url
            allowed = (url, f"blob:http://127.0.0.1:{server.server_port}/", "data:,")
        page = stack.enter_context(opened(browser, url, allowed))
        page.click("#tab-phases")
        expect(page.locator("#phase-table tbody tr")).to_have_count(3)
        expect(page.locator("#phase-note")).to_contain_text("A phase is one structure")
        for phase in (first, second):
            # By the keyboard, as every control of the page.
            page.locator("#phase-table button", has_text=phase.name).press("Enter")
            assert page.input_value("#select") == f"phase={phase.name}"
            expect(page.locator("#filter-note")).to_contain_text("1 of 4 candidates selected")
            expect(page.locator("#structure-title")).to_have_text(phase.representative.id)
        page.fill("#select", "phase=7/9-1")
        expect(page.locator("#filter-note")).to_contain_text("there is no phase 7/9-1")
