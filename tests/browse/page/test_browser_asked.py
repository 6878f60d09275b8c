"""The view of a guided campaign of a boundary in a real browser: what was asked for, and found."""

import pytest
from playwright.sync_api import expect

from gcd_hpc.browse.asked import asked_n, cells
from gcd_hpc.browse.page.contents import Contents
from gcd_hpc.browse.page.standalone import write_page
from gcd_hpc.errors import StoreError
from gcd_hpc.store.run import open_run
from tests.browse.guided import TRUE, write_guided_run
from tests.browse.page.browsing import LOOKS, allowed_of, opened
from tests.browse.page.conftest import serving

pytestmark = [pytest.mark.browser, pytest.mark.lammps]
TRY = "search-000000"
WHITE = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.filter((value, place) => place % 4 === 0 && value > 128).length;
}"""
"""Number of bright pixels of a picture."""


@pytest.fixture(scope="module")
def guided(tmp_path_factory):
    return write_guided_run(tmp_path_factory.mktemp("guided"))


@pytest.fixture(scope="module")
def page(browser, guided):
    with (
        serving(guided) as server,
        opened(browser, server.url, allowed_of(server), (1440, 900)) as page,
    ):
        yield page


def test_the_numbers_of_the_page_are_those_of_the_report(guided):
    contents = Contents(guided)
    assert contents.state()["is_guided"]
    record = contents.asked()
    titles = [table["title"] for table in record["tables"]]
    assert titles == ["[n]", "Image", "Most like the image"]
    assert record["tables"][0]["rows"] == cells(asked_n(open_run(guided).relaxed()).rows)
    assert record["tables"][0]["rows"][0][:4] == ("all", "3", "2", "67%")
    assert record["tables"][1]["rows"][0][1:3] == ("3", "1")
    assert record["tables"][2]["ids"][0] == TRUE
    found = contents.projection(TRUE)
    assert (
        found["correlation"] >= record["image"]["least"] > contents.projection(TRY)["correlation"]
    )
    assert (found["height"], found["width"]) == (
        record["image"]["height"],
        record["image"]["width"],
    )


def test_a_campaign_that_asks_for_nothing_has_neither_tab_nor_projections(run, browser):
    contents = Contents(run)
    assert not contents.state()["is_guided"]
    with pytest.raises(StoreError, match="cannot be compared with the image"):
        contents.projection("search-000000")
    with serving(run) as server, opened(browser, server.url, allowed_of(server)) as page:
        expect(page.locator("#tab-asked")).to_be_hidden()


def test_keys_lead_to_what_was_asked_for_and_to_the_projection_of_a_candidate(page):
    page.focus("#tab-candidates")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-asked")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#asked-terms li")).to_have_count(2)
    expect(page.locator("#asked-terms")).to_contain_text("The image a.npy, seen along x")
    tables = page.locator("#asked-tables")
    for words in ("67%", "21% to 94%", "1.7", "[n] = 0.5", "the image"):
        expect(tables).to_contain_text(words)
    # Tables that are wider than their place are reached first, so that keys can scroll them.
    on_candidate = "document.activeElement.matches('#asked-tables button')"
    for _ in range(6):
        page.keyboard.press("Tab")
        if page.evaluate(on_candidate):
            break
    assert page.evaluate(on_candidate)
    page.keyboard.press("Enter")
    expect(page.locator("#asked-projection")).to_have_attribute("data-id", TRUE)
    expect(page.locator("#structure-title")).to_contain_text(TRUE)
    expect(page.locator("#asked-caption")).to_contain_text("correlation 0.9")


def test_the_projection_follows_the_chosen_candidate(page):
    page.click("#tab-asked")
    shown = page.locator("#asked-projection")
    page.click(f"#asked-tables button:text-is('{TRUE}')")
    expect(shown).to_have_attribute("data-id", TRUE)
    bright = shown.evaluate(WHITE)
    # Atoms are bright in both pictures, on about as many pixels.
    assert bright > 100
    assert bright == pytest.approx(page.locator("#asked-target").evaluate(WHITE), rel=0.25)
    page.click(f"#asked-tables button:text-is('{TRY}')")
    expect(shown).to_have_attribute("data-id", TRY)
    expect(page.locator("#structure-title")).to_contain_text(TRY)


@pytest.mark.parametrize("look", LOOKS)
def test_what_was_asked_for_fits_each_width_and_theme(browser, guided, tmp_path, look):
    size, scheme = look
    url = write_page(guided, tmp_path / "page.html").as_uri()
    with opened(browser, url, (url, "data:", "blob:"), size, color_scheme=scheme) as page:
        page.click("#tab-asked")
        page.click(f"#asked-tables button:text-is('{TRUE}')")
        expect(page.locator("#asked-projection")).to_have_attribute("data-id", TRUE)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        image, beside = (
            page.locator(f"#asked-{one}").bounding_box() for one in ("target", "projection")
        )
        # The two pictures are of one size and stand beside each other at every width.
        assert image["y"] == beside["y"] and image["x"] + image["width"] < beside["x"]
        assert (image["width"], image["height"]) == (beside["width"], beside["height"])
        page.locator("#asked").screenshot(path=tmp_path / f"{size[0]}-{scheme}.png")
