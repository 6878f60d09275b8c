"""Phases on the page: their table, and the condition phase=NAME."""

import json
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from gcd_hpc.browse.page.contents import Contents
from gcd_hpc.browse.page.downloads import download_selection
from gcd_hpc.browse.page.phases import phase_names
from gcd_hpc.errors import StoreError
from gcd_hpc.phases.clustering import find_phases
from gcd_hpc.store.run import open_run
from gcd_hpc.store.run_directory import RunDirectory
from tests.browse.page.conftest import serving
from tests.browse.sets import make_set


@pytest.fixture(scope="module")
def tilt(tmp_path_factory):
    """The run of a boundary whose structures are two slabs each."""
    return RunDirectory(make_set(tmp_path_factory.mktemp("phases"))).member("s5_210").path


def test_the_page_lists_the_phases_of_the_run(tilt):
    found = find_phases(open_run(tilt))
    with serving(tilt) as server, urlopen(f"{server.url}api/phases", timeout=60) as answer:
        table = json.load(answer)
    assert [row[0] for row in table["rows"]] == [one.name for one in found] and found
    assert [row[5] for row in table["rows"]] == [one.representative.id for one in found]
    assert table["members"] == {one.name: list(one.members) for one in found}


def test_the_filter_takes_phases_for_table_map_and_download(tilt):
    contents = Contents(tilt)
    first, second = find_phases(open_run(tilt))[:2]
    rows = contents.page(f"phase={first.name} status=ok", "energy", False, 0, 9)["rows"]
    assert [row[0] for row in rows] == list(first.members)
    both = contents.points(f"phase = {first.name}, {second.name}")["rows"]
    assert {row[0] for row in both} == {*first.members, *second.members}
    rest = contents.page(f"phase!={first.name}", "id", False, 0, 9)["rows"]
    assert not {row[0] for row in rest} & set(first.members) and rest
    _, content = download_selection(contents, "csv", f"phase={first.name}")
    assert len(content.splitlines()) == 1 + len(first.members)


def test_a_phase_that_there_is_not_is_said(tilt):
    with pytest.raises(StoreError, match="there is no phase 7/9-1"):
        Contents(tilt).page("phase=7/9-1", "energy", False, 0, 9)
    with serving(tilt) as server:
        address = f"{server.url}api/rows?select={quote('phase=x')}"
        with urlopen(address, timeout=60) as answer:
            assert "there is no phase x" in json.load(answer)["error"]


def test_a_run_whose_files_do_not_describe_the_boundary_has_no_phases(contents):
    assert contents.phases()["rows"] == []


def test_conditions_of_phases_are_told_from_those_of_fields():
    assert phase_names("n=0.2  phase = 1/5-1, 2/5-1 status!=failed") == (
        "n=0.2 status!=failed",
        [("=", ["1/5-1", "2/5-1"])],
    )
    assert phase_names('reason="a  b" energy<2') == ('reason="a  b" energy<2', [])
