"""The page of a material in a real browser: map, spectra, table, keyboard, widths and themes."""

import json

import pytest
from playwright.sync_api import expect

from gcd_hpc.browse.page.contents import Contents
from gcd_hpc.browse.page.standalone import write_page
from tests.browse.page.browsing import LOOKS, allowed_of, opened
from tests.browse.page.conftest import serving
from tests.material_run import write_material_run

pytestmark = pytest.mark.browser
BEST, QUENCH = "model-02-000002", "quench-00-000001"
OF_A_BOUNDARY = ("[n]", "J/m²", "boundary energy", "excess volume", "grain")


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return write_material_run(tmp_path_factory.mktemp("material"))


@pytest.fixture(scope="module")
def page(browser, material):
    with (
        serving(material) as server,
        opened(browser, server.url, allowed_of(server), (1440, 900)) as page,
    ):
        yield page


def test_the_data_of_the_page_have_the_fields_of_a_material_alone(material):
    contents = Contents(material)
    state = contents.state()
    assert (state["kind"], state["best"][0]) == ("material", BEST)
    assert "gb_energy_j_m2" not in state["about"] and "spectrum_error" in state["about"]
    assert "vasp" not in state["formats"] and state["fractions"] == []
    names = {one["name"]: one["num"] for one in state["sources"]}
    assert names == {"quenches": 4, "guided": 8, "unguided": 6, "model 01": 7, "model 02": 7}
    for one in state["sources"]:
        assert contents.page(one["select"], "error", False, 0, 1)["total"] == one["num"]
    assert contents.work()["rows"][0][4] == "0.0550 ± 0.0205"
    structure = contents.structure(BEST)
    assert len(structure["atoms"]["x"]) == 64 and structure["atoms"]["height"] > 0
    assert sum(structure["energies"]) == pytest.approx(0, abs=0.05)
    environment = contents.environment(BEST, False)
    assert set(environment) == {"bond_a", "coordination"} and len(environment["coordination"]) == 64
    curves = contents.spectra(BEST)["curves"]
    assert [curve["kind"] for curve in curves] == ["guided", "unguided", "chosen", "target"]
    assert contents.spectra()["curves"][-1]["kind"] == "target"
    json.dumps([state, structure, curves], allow_nan=False)


def test_nothing_of_a_boundary_is_on_the_page_of_a_material(page):
    text = page.inner_text("body")
    assert not [words for words in OF_A_BOUNDARY if words in text]
    for words in ("Spectrum error", "eV/atom", "g/cm³", "guided"):
        assert words in text, words
    expect(page.locator("#tab-phases")).to_be_hidden()
    expect(page.locator("#by-n")).to_be_hidden()
    expect(page.locator("#best")).to_have_text("smallest spectrum error 0.0200 at -6.785 eV/atom")


def test_the_map_has_the_error_against_the_energy_with_a_shape_for_each_group(page):
    assert page.input_value("#map-x") == "energy_ev_atom"
    assert page.input_value("#map-y") == "spectrum_error"
    shapes = "points => points.map((point) => [point.dataset.id, point.dataset.shape])"
    found = dict(page.eval_on_selector_all("#map .point", shapes))
    assert len(found) == 12
    assert found[BEST] == "square" and found["model-01-000005"] == "circle"
    expect(page.locator("#map-note")).to_contain_text("12 of 16 structures drawn; 4 without a")
    page.select_option("#map-x", "density_g_cm3")
    page.select_option("#map-y", "energy_ev_atom")
    expect(page.locator("#map .point")).to_have_count(16)
    page.select_option("#map-x", "energy_ev_atom")
    page.select_option("#map-y", "spectrum_error")


def test_the_chosen_structure_has_its_spectrum_beside_target_and_means(page):
    page.click(f"#table tr[data-id='{BEST}']")
    card = page.locator("#spectra-card")
    expect(card).to_have_attribute("data-id", BEST)
    legend = page.locator("#spectra .legend")
    for words in ("guided, mean of 8", "unguided, mean of 4", BEST, "target"):
        expect(legend).to_contain_text(words)
    lines = "lines => lines.map((line) => line.getAttribute('points').split(' ').length)"
    assert page.eval_on_selector_all("#spectra polyline", lines) == [81] * 4
    page.fill("#select", "source=quench")
    expect(page.locator("#filter-note")).to_contain_text("4 of 18 candidates selected")
    page.click(f"#table tr[data-id='{QUENCH}']")
    expect(card).to_have_attribute("data-id", QUENCH)
    expect(page.locator("#facts")).to_contain_text("not compared")
    page.fill("#select", "status=failed")
    expect(page.locator("#filter-note")).to_contain_text("2 of 18 candidates selected")
    page.click("#table tbody tr >> nth=0")
    expect(page.locator("#spectra-note")).to_contain_text("No spectra of model-01-000006 are known")
    page.fill("#select", "")


def test_words_and_orders_of_the_filter_are_those_of_a_material(page):
    page.fill("#select", "guided=guided error<0.045")
    expect(page.locator("#filter-note")).to_contain_text("5 of 18 candidates selected")
    page.fill("#select", "n=0.2")
    expect(page.locator("#filter-note")).to_contain_text("expected one of energy, error, id")
    page.select_option("#by-source", "guided=unguided")
    expect(page.locator("#select")).to_have_value("n=0.2 guided=unguided")
    page.click("#clear")
    first = page.locator("#table tbody tr >> nth=0")
    expect(first).to_have_attribute("data-id", BEST)
    page.click("#table th button[data-sort='energy_ev_atom']")
    expect(page.locator("#table th[aria-sort='ascending']")).to_contain_text("Energy")
    page.click("#table th button[data-sort='spectrum_error']")
    expect(first).to_have_attribute("data-id", BEST)


def test_atoms_are_coloured_by_what_a_material_has(page):
    page.click(f"#table tr[data-id='{BEST}']")
    options = "options => options.map((option) => option.value)"
    names = page.eval_on_selector_all("#atom-colour option", options)
    assert names == ["coordination", "energy", "displacement", "element"]
    for by, words in (("energy", "eV"), ("displacement", "Å"), ("coordination", "3 (")):
        page.select_option("#atom-colour", by)
        expect(page.locator("#view")).to_have_attribute("data-colours", by)
        expect(page.locator("#atom-legend")).to_contain_text(words)
    expect(page.locator("#view")).to_have_attribute("data-atoms", "64")
    page.check("#bonds")
    expect(page.locator("#view")).not_to_have_attribute("data-bonds", "0")
    page.uncheck("#bonds")


def test_keys_go_through_map_table_and_tabs_of_a_material(page):
    page.click(f"#table tr[data-id='{BEST}']")
    page.focus("#map")
    page.keyboard.press("ArrowUp")
    # The next larger error.
    expect(page.locator("#structure-title")).to_have_text("model-02-000000")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#structure-title")).to_have_text(BEST)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#structure-title")).not_to_have_text(BEST)
    page.focus("#tab-candidates")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-progress")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#work")).to_contain_text("0.0550 ± 0.0205")
    expect(page.locator("#work-title")).to_have_text("Spectrum errors by round")
    expect(page.locator("#figure-errors img")).to_be_visible()
    expect(page.locator("#provenance")).to_contain_text("target.csv")
    page.click("#tab-failures")
    expect(page.locator("#failures")).to_contain_text("two atoms are")
    page.click("#tab-candidates")


@pytest.mark.parametrize("look", LOOKS)
def test_the_page_of_a_material_fits_each_width_and_theme(browser, material, tmp_path, look):
    size, scheme = look
    path = write_page(material, tmp_path / "page.html")
    url = path.as_uri()
    allowed = (url, "data:", "blob:")
    with opened(browser, url, allowed, size, color_scheme=scheme) as page:
        expect(page.locator("#view")).to_have_attribute("data-id", BEST)
        expect(page.locator("#spectra polyline")).to_have_count(4)
        width = "document.documentElement.scrollWidth <= innerWidth"
        assert page.evaluate(width)
        chart = page.locator("#spectra svg.chart").bounding_box()
        card = page.locator("#spectra-card").bounding_box()
        assert chart["x"] >= card["x"] and chart["width"] <= card["width"]
        expect(page.locator("#map .point")).to_have_count(12)
        page.screenshot(path=tmp_path / f"{size[0]}-{scheme}.png", full_page=True)
