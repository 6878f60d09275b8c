"""The results of a set of boundaries as Python sees them."""

import pytest

from gcd_hpc.config.loader import dump_set, load_campaign_or_set
from gcd_hpc.errors import StoreError
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.run_set import RunSet
from tests.config.test_set import SET
from tests.store.synthetic import make_candidate


@pytest.fixture
def folder(tmp_path, provenance):
    (tmp_path / "s.yaml").write_text(SET)
    run = RunDirectory(tmp_path / "run")
    part = run.member("s13_320").search_part(0)
    write_part(part, [make_candidate(0), make_candidate(1)], provenance)
    run.config.write_text(dump_set(load_campaign_or_set(tmp_path / "s.yaml")))
    return run.path


def test_a_set_has_the_run_of_each_member_that_has_begun(folder):
    found = RunSet.open(folder)
    assert list(found.campaigns) == ["s5_210", "s13_320"]
    assert list(found.members) == ["s13_320"]
    assert len(found.members["s13_320"]) == 2
    assert found.directory("s13_320") == folder / "boundaries" / "s13_320"


def test_a_set_is_told_from_a_run(folder):
    assert RunSet.is_set(folder)
    assert not RunSet.is_set(folder / "boundaries" / "s13_320")
    assert not RunSet.is_set(folder / "nowhere")


@pytest.mark.parametrize("text", ["boundaries: []", "a: [", None])
def test_a_folder_that_is_no_set_is_refused_in_one_sentence(folder, text):
    config = RunDirectory(folder).config
    if text is None:
        config.unlink()
    else:
        config.write_text(text)
    with pytest.raises(StoreError) as caught:
        RunSet.open(folder)
    assert str(folder) in str(caught.value)
