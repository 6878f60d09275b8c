"""The page of a set of boundaries, in plain HTTP."""

import json
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from gcd_hpc.browse.page import set_pages
from gcd_hpc.browse.page.set_pages import SetPages
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run_directory import RunDirectory
from tests.browse.page.conftest import serving
from tests.browse.sets import LOWEST, NOT_BEGUN, make_set
from tests.store.synthetic import make_candidate


@pytest.fixture(scope="module")
def tilts(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def url(tilts):
    with serving(tilts) as server:
        yield server.url


def fetch(address):
    with urlopen(address, timeout=60) as answer:
        return answer.headers["Content-Type"], answer.read()


def data(address):
    return json.loads(fetch(address)[1])


def refusal(address):
    """Status and sentence of an answer that is none."""
    with pytest.raises(HTTPError) as caught:
        fetch(address)
    with caught.value as answer:
        return answer.code, json.load(answer)["error"]


def test_the_overview_has_a_row_and_a_link_for_each_boundary(url):
    state = data(f"{url}api/state")
    links = {row["name"]: row["href"] for row in state["rows"]}
    assert links == {name: f"boundary/{name}/" for name in LOWEST} | {NOT_BEGUN: None}
    (row,) = (row for row in state["rows"] if row["name"] == "s5_210")
    cells = dict(zip(state["headings"], row["cells"], strict=True))
    assert (cells["Sigma"], cells["plane"], cells["angle"]) == ("5", "(210)", "53.13")
    assert cells["GB energy (J/m^2)"] == "0.9400"


def test_each_boundary_has_its_own_page_below_that_of_the_set(url):
    kind, page = fetch(f"{url}boundary/s5_210/")
    assert kind.startswith("text/html") and b"page.js" in page
    state = data(f"{url}boundary/s5_210/api/state")
    assert (state["name"], state["set"], state["num"]) == ("s5_210", "tilts", 4)
    assert data(f"{url}boundary/s13_320/api/state")["best"][2] == LOWEST["s13_320"]


def test_the_figure_is_an_image(url):
    kind, content = fetch(f"{url}api/figure")
    assert kind.startswith("image/svg") and content.startswith(b"<?xml")


UNKNOWN = ("boundary/none/", "boundary/../../etc/", "boundary/s5_210", "page.js", "api/rows")


@pytest.mark.parametrize("route", UNKNOWN)
def test_other_addresses_are_not_found(url, route):
    assert refusal(f"{url}{route}")[0] == 404


@pytest.mark.parametrize("route", ["", "api/state", "boundary/s5_210/", "boundary/s5_210/api/rows"])
def test_the_token_is_needed_for_every_boundary(url, route):
    base = url.rstrip("/").rsplit("/", 1)[0]
    status, error = refusal(f"{base}/wrong/{route}")
    assert status == 403 and "lacks the token" in error


def test_a_boundary_that_has_not_begun_is_a_sentence(url):
    status, error = refusal(f"{url}boundary/{NOT_BEGUN}/")
    assert status == 400 and "holds no results" in error


def test_only_boundaries_whose_files_changed_are_read_again(tmp_path, monkeypatch):
    run = RunDirectory(make_set(tmp_path))
    pages, read, row_of = SetPages(run.path), [], set_pages.row_of
    monkeypatch.setattr(
        set_pages, "row_of", lambda member: (read.append(member.name), row_of(member))[1]
    )
    before = json.loads(pages.answer("api/state", {})[1])
    assert len(read) == 4
    config = run.member("s5_210").config.read_text()
    one = make_candidate(9, status="failed", reason="NaN", failure="physics")
    write_part(run.member("s5_210").search_part(1), [one], {"config": config})
    after = json.loads(pages.answer("api/state", {})[1])
    assert after["version"] != before["version"] and after["tries"] == before["tries"] + 1
    assert read[4:] == ["s5_210"]


def test_the_candidates_of_a_few_boundaries_only_are_kept_in_memory(tilts, monkeypatch):
    monkeypatch.setattr(set_pages, "MAX_OPEN", 2)
    pages = SetPages(tilts)
    for name in (*LOWEST, "s5_310", "s5_210"):
        assert json.loads(pages.answer(f"boundary/{name}/api/state", {})[1])["name"] == name
    assert list(pages._pages) == ["s5_310", "s5_210"]


def test_a_set_without_candidates_says_that_there_is_nothing_to_draw(tmp_path):
    pages = SetPages(make_set(tmp_path, {}))
    kind, content, _ = pages.answer("api/figure", {})
    assert kind == "application/json" and "nothing to draw" in json.loads(content)["error"]
