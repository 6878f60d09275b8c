"""Views and controls of the page in a real browser: 3D picture, map, campaign, themes, keyboard."""

import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread
from playwright.sync_api import expect

from gcd_hpc.browse.page import contents as contents_module
from gcd_hpc.browse.page.contents import Contents
from gcd_hpc.browse.page.standalone import write_page
from gcd_hpc.store.parts import read_part, write_part
from gcd_hpc.store.run import open_run
from gcd_hpc.store.run_directory import RunDirectory
from tests.browse.page.browsing import LOOKS, WIDTHS, allowed_of, opened, picture_of
from tests.browse.page.conftest import serving
from tests.browse.sets import make_set

pytestmark = pytest.mark.browser
BEST, OUTLIER = "search-000001", "search-000009"


def remade(row, source, index, above):
    """A copy of a row by another source."""
    version = 0 if source == "search" else 1
    place = "" if source == "search" else "-01"
    energy = row.gb_energy_j_m2 + above
    return replace(
        row,
        id=f"{source}{place}-{index:06d}",
        source=source,
        version=version if source == "model" else 0,
        round=version,
        index=index,
        gb_energy_j_m2=energy,
        excess_volume_a=energy / 3,
        move="insert" if source == "explore" else "",
    )


@pytest.fixture(scope="module")
def tilt(tmp_path_factory):
    """A tilt boundary of copper with candidates of three sources, and a training under way."""
    run = RunDirectory(make_set(tmp_path_factory.mktemp("views"))).member("s5_210")
    (part,) = run.search_parts()
    rng = np.random.default_rng(0)
    rows = [
        replace(row, unrelaxed_positions=row.positions + rng.normal(0, 0.05, row.positions.shape))
        for row in read_part(part)
        if row.status == "ok"
    ]
    config = {"config": open_run(run.path).provenance["config"]}
    more = [remade(row, "model", index, 0.2) for index, row in enumerate(rows)]
    more += [remade(row, "explore", index, 0.12) for index, row in enumerate(rows)]
    more.append(remade(rows[0], "search", 9, 8.0))
    write_part(part, [*rows, *more], config)
    progress = run.training_progress(1)
    progress.parent.mkdir(parents=True)
    write_training(progress, 40)
    return run


def write_training(path, step):
    history = [[at, 1 / (1 + at), 0.5 if at % 20 == 0 else None] for at in range(10, step + 1, 10)]
    numbers = {"loss": history[-1][1], "validation_loss": 0.5, "seconds": 2.0, "history": history}
    path.write_text(json.dumps({"step": step, "num_steps": 100, **numbers}))


@pytest.fixture(scope="module")
def page(browser, tilt):
    with serving(tilt.path) as server, opened(browser, server.url, allowed_of(server)) as page:
        yield page


def colours_of(page, view="#view"):
    picture = picture_of(page, view)
    atoms = picture[picture[..., 3] > 0]
    return len(atoms), len(np.unique((atoms[:, :3] * 12).astype(int), axis=0))


def overlay(page, view="#view"):
    """Ends of the axes on the screen."""
    ends = "lines => lines.map((line) => [line.x2.baseVal.value, line.className.baseVal])"
    return page.eval_on_selector_all(f"{view} .overlay line", ends)


def bar_length(page):
    """Length of the scale bar, pixels."""
    length = "l => l.x2.baseVal.value - l.x1.baseVal.value"
    return page.eval_on_selector("#view .scale", length)


def test_keys_look_along_each_axis_turn_and_zoom_the_picture(page):
    page.focus("#view")
    seen = {}
    for key in "xyz":
        page.keyboard.press(key)
        expect(page.locator("#view")).to_have_attribute("data-look", key)
        seen[key] = overlay(page)
    assert len({str(places) for places in seen.values()}) == 3
    page.keyboard.press("y")
    scale = page.locator("#view .scale-text")
    assert scale.text_content().endswith("Å")
    length = bar_length(page)
    page.keyboard.press("ArrowRight")
    assert overlay(page) != seen["y"]
    page.keyboard.press("+")
    assert length != bar_length(page)
    page.click("#reset")
    assert bar_length(page) == pytest.approx(length)


def test_the_scale_bar_is_as_long_as_it_says(page):
    """The cell's edge, seen from above, against what the viewer draws where."""
    page.click("#look-z")
    pixels = bar_length(page)
    length = float(page.locator("#view .scale-text").text_content().removesuffix(" Å"))
    script = """() => { const v = document.querySelector('#view canvas')._3dmol_viewer;
      const [a, b] = v.modelToScreen([{x: 0, y: 0, z: 0}, {x: 0, y: 10, z: 0}]);
      return Math.hypot(a.x - b.x, a.y - b.y) / 10; }"""
    assert pixels / length == pytest.approx(page.evaluate(script), rel=1e-3)
    page.click("#reset")


def test_atoms_are_coloured_by_each_property_with_a_legend(page):
    texts = {
        "grain": "lower grain",
        "coordination": "12 (",
        "kind": "fcc (",
        "centro": "Å²",
        "displacement": "Å",
        "element": "Cu (",
        "energy": "eV",
    }
    for by, text in texts.items():
        page.select_option("#atom-colour", by)
        expect(page.locator("#view")).to_have_attribute("data-colours", by)
        expect(page.locator("#atom-legend")).to_contain_text(text)
        assert colours_of(page)[1] > 3


def test_bonds_cell_and_slices_change_the_picture(page):
    whole = colours_of(page)[0]
    expect(page.locator("#view")).to_have_attribute("data-bonds", "0")
    page.check("#bonds")
    expect(page.locator("#view")).not_to_have_attribute("data-bonds", "0")
    with_bonds = colours_of(page)[0]
    page.uncheck("#bonds")
    page.uncheck("#cell")
    expect(page.locator("#view")).to_have_attribute("data-bonds", "0")
    bare = colours_of(page)[0]
    page.check("#cell")
    assert bare < whole != with_bonds
    atoms = int(page.get_attribute("#view", "data-atoms"))
    page.select_option("#slice-axis", "z")
    sliced = int(page.get_attribute("#view", "data-atoms"))
    page.focus("#slice-to")
    page.keyboard.press("End")
    wider = int(page.get_attribute("#view", "data-atoms"))
    page.select_option("#slice-axis", "")
    assert 0 < sliced < wider < atoms == int(page.get_attribute("#view", "data-atoms"))


def test_atoms_are_picked_by_number_and_by_mouse_and_their_distance_is_said(page, tilt):
    page.select_option("#repeat", "1,1")
    page.select_option("#region", "whole")
    for box, number in (("#atom-a", 3), ("#atom-b", 40)):
        page.fill(box, str(number))
        page.keyboard.press("Tab")
    atoms = Contents(tilt.path).structure(BEST)["atoms"]
    a, b = (np.array([atoms[axis][number] for axis in "xyz"]) for number in (3, 40))
    expect(page.locator("#picked")).to_contain_text(f"Distance {np.linalg.norm(a - b):.3f} Å")
    expect(page.locator("#picked")).to_contain_text("Atom 3 (Cu)")
    page.click("#unpick")
    # The atom that lies nearest to the eye, along its line of sight.
    script = """() => { const canvas = document.querySelector('#view canvas');
      const v = canvas._3dmol_viewer, atoms = v.getModel().selectedAtoms({});
      const one = atoms.reduce((a, b) => (b.y < a.y ? b : a));
      const { x, y } = v.modelToScreen(one), box = canvas.getBoundingClientRect();
      return [x - box.left - window.scrollX, y - box.top - window.scrollY, one.serial]; }"""
    page.click("#look-y")
    x, y, number = page.evaluate(script)
    page.locator("#view canvas").click(position={"x": x, "y": y})
    expect(page.locator("#picked")).to_contain_text(f"Atom {number} (Cu)")
    page.focus("#view")
    page.keyboard.press("Escape")
    expect(page.locator("#picked")).to_contain_text("Choose one or two")
    page.select_option("#region", "boundary")


def test_two_structures_turn_together_and_one_of_them_may_be_before_relaxation(page):
    page.select_option("#beside", "before")
    expect(page.locator("#beside-caption")).to_contain_text("before relaxation")
    expect(page.locator("#view-beside canvas")).to_be_visible()
    page.focus("#view")
    page.keyboard.press("ArrowUp")
    assert overlay(page) == overlay(page, "#view-beside") != []
    assert not np.array_equal(picture_of(page), picture_of(page, "#view-beside"))
    page.click("#keep")
    page.click("#table tr[data-id=search-000000]")
    expect(page.locator("#view")).to_have_attribute("data-id", "search-000000")
    expect(page.locator("#beside-caption")).to_contain_text(BEST)
    page.select_option("#beside", "")
    expect(page.locator("#beside-box")).to_be_hidden()


def test_a_picture_is_kept_with_title_and_colour_bar(page):
    with page.expect_download() as download:
        page.click("#picture")
    picture = imread(download.value.path())
    height, width = page.eval_on_selector("#view", "v => [v.clientHeight, v.clientWidth]")
    assert picture.shape[0] > 2 * height and picture.shape[1] == 2 * width
    assert (picture[..., 3] == 1).all()  # no transparent ground


def test_the_map_says_what_it_leaves_out_and_draws_what_is_asked_for(page):
    expect(page.locator("#map-note")).to_have_text("9 of 10 structures drawn; 1 outside the ranges")
    page.click("#draw-all")
    expect(page.locator(f"#map .point[data-id={OUTLIER}]")).to_have_count(1)
    page.click("#draw-low")
    page.fill("#y-to", "1.0")
    page.keyboard.press("Tab")
    shown = page.locator("#map .point").count()
    assert 0 < shown < 9
    expect(page.locator("#map-note")).to_contain_text(f"{10 - shown} outside the ranges")
    box = page.locator("#map").bounding_box()
    page.dblclick("#map", position={"x": box["width"] - 30, "y": 30})
    expect(page.locator("#map .point")).to_have_count(9)
    # A frame around the left half; what was clicked may have moved the page.
    page.locator("#map").scroll_into_view_if_needed()
    box = page.locator("#map").bounding_box()
    page.mouse.move(box["x"] + 70, box["y"] + 15)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 60, steps=3)
    page.mouse.up()
    assert page.input_value("#x-to") != "" and page.input_value("#y-from") != ""
    page.dblclick("#map", position={"x": box["width"] - 30, "y": 30})


def test_sources_and_phases_have_shapes_and_points_lie_at_their_values(page):
    shapes = "points => [...new Set(points.map((point) => point.dataset.shape))].sort()"
    assert page.eval_on_selector_all("#map .point", shapes) == ["circle", "square", "triangle"]
    assert (
        page.eval_on_selector_all(
            "#map .hull",
            "lines => new Set(lines.map((l) => l.getAttribute('stroke-dasharray'))).size",
        )
        == page.locator("#map .hull").count()
    )
    page.select_option("#map-colour", "phase")
    expect(page.locator("#legend")).to_contain_text("-1")
    page.select_option("#map-colour", "source")
    page.click("#tab-phases")
    page.locator("#phase-table button", has_text="the lowest of each phase").press("Enter")
    expect(page.locator("#filter-note")).to_contain_text("10 of 10 candidates selected")
    page.click("#clear")
    expect(page.locator("#filter-note")).to_contain_text("10 of 10 candidates")
    places = """points => points.map((point) => point.transform.baseVal.getItem(0).matrix.e)"""
    fractions = page.evaluate(
        "async () => (await (await fetch('api/points?select=')).json()).rows.map((row) => row[1])"
    )
    # As many columns as there are [n].
    assert len(set(page.eval_on_selector_all("#map .point", places))) == len(set(fractions))
    page.select_option("#map-x", "excess_volume_a")
    page.select_option("#map-y", "num_atoms")
    expect(page.locator("#map")).to_contain_text("excess volume (Å)")
    # Three rows of the search have no excess volume.
    expect(page.locator("#map-note")).to_have_text("7 of 10 structures drawn; 3 without a value")
    page.select_option("#map-x", "n_fraction")
    page.select_option("#map-y", "gb_energy_j_m2")


def test_a_card_tells_of_the_point_below_the_mouse_and_of_the_one_that_keys_choose(page):
    page.dispatch_event(f"#map .point[data-id={BEST}]", "pointerover")
    expect(page.locator(".hover-card")).to_contain_text("0.9400 J/m²")
    page.focus("#map")
    page.keyboard.press("ArrowUp")
    expect(page.locator(".hover-card")).to_be_visible()
    page.click("#clear")


def test_the_campaign_is_followed_while_a_model_trains(page, tilt, monkeypatch):
    monkeypatch.setattr(contents_module, "LOOK_EVERY_S", 0.1)
    page.click("#tab-progress")
    expect(page.locator("#training-note")).to_contain_text("step 40 of 100")
    expect(page.locator("#training svg")).to_be_visible()
    # The figures come last, one after the other.
    last = page.locator("#figure-egb-n img")
    expect(last).to_be_visible()
    write_training(tilt.training_progress(1), 60)
    expect(page.locator("#training-note")).to_contain_text("step 60 of 100")
    expect(page.locator("#moves")).to_contain_text("insert")
    expect(page.locator("#provenance")).to_contain_text("Σ5")
    page.click("#progress summary")
    expect(page.locator("#settings")).to_contain_text("pair_style: eam/alloy")
    page.click("#tab-candidates")


def test_every_control_is_reached_by_the_keyboard(page):
    wanted = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, summary, [tabindex="0"]')]
          .filter((one) => one.offsetParent && !one.disabled && one.tabIndex >= 0)
          .map((one) => one.id || one.dataset.sort || one.tagName)"""
    )
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    reached = set()
    for _ in range(len(wanted) + 5):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "() => { const one = document.activeElement;"
                " return one.id || one.dataset.sort || one.tagName; }"
            )
        )
    assert set(wanted) <= reached


def test_the_theme_follows_the_system_and_the_button(page):
    ground = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    page.focus("#theme")
    page.keyboard.press("Enter")
    assert page.evaluate(ground) == light != dark
    page.keyboard.press("Enter")
    page.emulate_media(color_scheme="light")
    assert page.evaluate(ground) == dark
    page.keyboard.press("Enter")
    assert page.evaluate(ground) == light


def fits(page, width, choose):
    """Nothing is cut off, and a chosen row and its picture are in sight together."""
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    row = page.locator("#table tbody tr").last
    row.scroll_into_view_if_needed()
    choose(row)
    expect(page.locator("#view")).to_have_attribute("data-id", row.get_attribute("data-id"))
    height = page.viewport_size["height"]
    for one in (page.locator("#view").bounding_box(), row.bounding_box()):
        assert one["y"] < height and one["y"] + one["height"] > 0
    view, line = page.locator("#view").bounding_box(), row.bounding_box()
    is_beside = view["x"] >= line["x"] + 100
    assert is_beside or line["y"] >= view["y"] + view["height"] - 1


@pytest.mark.parametrize("size", WIDTHS, ids=str)
def test_row_and_picture_are_in_sight_together_at_every_width(page, size):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    fits(page, size[0], lambda row: row.click(position={"x": 60, "y": 10}))
    page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS)
def test_the_page_as_one_file_works_in_each_width_and_theme(browser, tilt, tmp_path, look):
    size, scheme = look
    address = write_page(tilt.path, tmp_path / "page.html").as_uri()
    allowed = (address, "data:", f"blob:{address[:7]}", "blob:null/")
    with opened(browser, address, allowed, size, color_scheme=scheme) as page:
        fits(page, size[0], lambda row: row.press("Enter"))
        for by in ("grain", "coordination", "kind", "centro"):
            page.select_option("#atom-colour", by)
            expect(page.locator("#atom-legend")).to_contain_text("(" if by != "centro" else "Å²")
        page.select_option("#beside", "before")
        expect(page.locator("#beside-caption")).to_contain_text("before relaxation")
        for tab in ("phases", "progress", "failures"):
            page.press(f"#tab-{tab}", "Enter")
            expect(page.locator(f"#{tab}")).not_to_be_empty()
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
