"""The map of registries and the pictures of the lowest structures, in a real browser."""

import numpy as np
import pytest
from playwright.sync_api import expect

from gcd_hpc.browse.page.contents import Contents
from gcd_hpc.browse.page.standalone import write_page
from tests.browse.page.browsing import LOOKS, allowed_of, opened
from tests.browse.page.conftest import serving
from tests.browse.sets import make_set

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a copper tilt boundary with tries of a search."""
    return make_set(tmp_path_factory.mktemp("registries")) / "boundaries" / "s5_210"


@pytest.fixture(scope="module")
def served(run):
    with serving(run) as server:
        yield server


@pytest.fixture(params=LOOKS)
def page(browser, served, request):
    size, theme = request.param
    allowed = allowed_of(served)
    with opened(browser, served.url, allowed, size, color_scheme=theme) as page:
        yield page


def at_registries(page):
    """Put the map's view of registries on, by keyboard."""
    page.focus("#map-registries")
    page.keyboard.press("Enter")
    expect(page.locator("#map-registries")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#map .cell")).to_have_count(1)


def corners_of(page):
    """Corners of the cell in the picture, (4, 2), pixels."""
    points = page.locator("#map .cell").get_attribute("points")
    return np.array([pair.split(",") for pair in points.split()], dtype=float)


def test_registries_stand_in_their_cell_on_one_scale(page, run):
    at_registries(page)
    found = Contents(run).registries("")
    cell, places = np.array(found["cell"]), found["places"]
    corners = corners_of(page)
    scale = (corners[1, 0] - corners[0, 0]) / cell[0, 0]
    assert (corners[0, 1] - corners[3, 1]) / cell[1, 1] == pytest.approx(scale, rel=1e-6)
    shown = page.eval_on_selector_all(
        "#map .point", "all => all.map(one => [one.dataset.id, one.getAttribute('transform')])"
    )
    assert {name for name, _ in shown} == places.keys()
    for name, move in shown:
        x, y = map(float, move.removeprefix("translate(").rstrip(")").split(","))
        expected = corners[0] + scale * np.array(places[name]) * (1, -1)
        assert [x, y] == pytest.approx(expected.tolist(), abs=0.1)
    expect(page.locator("#legend")).to_contain_text("boundary energy")
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    page.keyboard.press("Enter")
    expect(page.locator("#map .cell")).to_have_count(0)
    expect(page.locator("#map-x")).to_have_value("n_fraction")


def test_a_filter_keeps_the_view_of_registries(page):
    at_registries(page)
    before = page.locator("#map .point").count()
    page.fill("#select", f"id={page.locator('#map .point').first.get_attribute('data-id')}")
    expect(page.locator("#map .point")).to_have_count(1)
    page.click("#clear")
    expect(page.locator("#map .point")).to_have_count(before)
    expect(page.locator("#map .cell")).to_have_count(1)


def test_pictures_of_the_lowest_structures_choose_them_by_keyboard(page, run):
    buttons = page.locator("#thumbnails button")
    lowest = {}
    for name, n, energy, *_ in Contents(run).points("")["rows"]:
        lowest.setdefault(n, (name, energy))
    expect(buttons).to_have_count(len(lowest))
    for place, n in enumerate(sorted(lowest)):
        name, energy = lowest[n]
        button = buttons.nth(place)
        expect(button).to_contain_text(f"{energy:.3f}")
        assert button.get_attribute("data-id") == name
        expect(button.locator("circle").first).to_be_attached()
        assert button.bounding_box()["height"] >= 80
    buttons.first.focus()
    if len(lowest) > 1:
        page.keyboard.press("ArrowRight")
    chosen = page.evaluate("document.activeElement.dataset.id")
    page.keyboard.press("Enter")
    expect(page.locator("#view")).to_have_attribute("data-id", chosen)
    pressed = page.locator("#thumbnails button[aria-pressed=true]")
    expect(pressed).to_have_attribute("data-id", chosen)
    fills = page.eval_on_selector_all(
        "#thumbnails circle", "all => [...new Set(all.map(one => one.getAttribute('fill')))]"
    )
    assert len(fills) > 1, "atoms at the boundary have other energies than those of the crystal"


def test_the_page_as_one_file_has_both_views(browser, run, tmp_path):
    address = write_page(run, tmp_path / "page.html").as_uri()
    allowed = (address, "data:", f"blob:{address[:7]}", "blob:null/")
    with opened(browser, address, allowed) as page:
        at_registries(page)
        expect(page.locator("#map .point").first).to_be_visible()
        expect(page.locator("#thumbnails circle").first).to_be_attached()
