"""The part of a report that shows what guided candidates were asked for, and what was found."""

import re

import pytest

from gcd_hpc.browse.asked import Share, asked_image, image_of_run
from gcd_hpc.browse.report.asked import image_figure
from gcd_hpc.browse.report.html import to_html
from gcd_hpc.browse.report.writing import report_document
from gcd_hpc.store.run import open_run
from gcd_hpc.store.run_directory import RunDirectory
from tests.browse.guided import TRUE, write_guided_run
from tests.browse.sets import make_set

pytestmark = pytest.mark.lammps


@pytest.fixture(scope="module")
def guided(tmp_path_factory):
    return write_guided_run(tmp_path_factory.mktemp("set"))


def test_the_structure_of_an_image_is_the_candidate_most_like_it(guided):
    run = open_run(guided)
    image = image_of_run(run)
    found = asked_image(run.relaxed(), image)
    compared = found.compared
    assert [one.made for one in compared].count("guided") == 3 and len(compared) == 6
    assert compared[0].candidate.id == TRUE
    # The noise of the image leaves this correlation with the structure itself.
    assert compared[0].correlation > found.least > compared[1].correlation
    assert (found.row.guided, found.row.unguided) == (Share(1, 3), Share(0, 3))
    assert len(image_figure(image, compared[:2]).axes) == 3


def test_a_report_of_a_guided_campaign_shows_what_was_asked_and_found(guided):
    html = to_html(report_document(guided))
    assert "Asked and found" in html and "Wilson" in html
    assert "projections of the candidates that are most like it" in html
    text = re.sub(r"<[^>]+>", " ", html)
    # Of three tries two have the [n] of two candidates, and one that of the third: 5/3 of 3.
    assert re.search(r"all\s+3\s+2\s+67%\s+21% to 94%\s+3\s+1.7\s+56%", text)
    assert re.search(r"the image\s+3\s+1\s+33%\s+6% to 79%\s+3\s+0\s+0%\s+0% to 56%", text)


def test_a_report_without_guidance_has_no_such_part(tmp_path):
    run = RunDirectory(make_set(tmp_path)).member("s5_210")
    assert "Asked and found" not in to_html(report_document(run.path))
