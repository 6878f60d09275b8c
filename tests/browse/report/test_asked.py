"""The part of a report that shows what guided candidates were asked for, and what was found."""

import re
from dataclasses import replace

import numpy as np
import pytest

from gcd_hpc.browse.report.asked import compare, image_figure
from gcd_hpc.browse.report.found import Found
from gcd_hpc.browse.report.html import to_html
from gcd_hpc.browse.report.writing import report_document
from gcd_hpc.config.loader import dump, load_campaign
from gcd_hpc.learning.boundary import load_boundary_system, placed_image, prepare
from gcd_hpc.store.parts import read_part, write_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.projection import Pixels, noisy, projected, write_image
from tests.browse.sets import make_set

pytestmark = pytest.mark.lammps
TERMS = (
    "guidance=[{property: n_fraction}, {property: image, target: {file: a.npy, axis: x,"
    " pixel_a: 0.2, blur_a: 0.8}}]"
)
REGISTRIES = ((1.0, 2.0, 2.0), (1.0, 0.6, 2.0), (1.0, 3.4, 2.0))
"""Shifts of the grains of the candidates, which are perfect crystals up to the boundary, Å."""
TRUE = "model-01-000002"


def candidate(row, index, positions):
    """A row of a model with other atoms; the first two have the [n] that they were asked for."""
    num = len(positions)
    fraction = 0.5
    return replace(
        row,
        id=f"model-01-{index:06d}",
        source="model",
        version=1,
        round=1,
        index=index,
        num_atoms=num,
        n_fraction=fraction,
        target_n_fraction=fraction if index < 2 else 0.0,
        gb_energy_j_m2=1.0 + index / 100,
        unrelaxed_positions=positions,
        positions=positions,
        energies_ev=np.full(num, row.cohesive_ev),
        numbers=np.full(num, 29),
    )


@pytest.fixture(scope="module")
def guided(tmp_path_factory):
    """Tilt boundaries of copper as candidates of a model that was asked for an [n] and an image."""
    run = RunDirectory(make_set(tmp_path_factory.mktemp("set"))).member("s5_210")
    plain = load_campaign(run.config)
    folder = tmp_path_factory.mktemp("files")
    prepare(run.path, plain, folder)
    system = load_boundary_system(str(run.path))
    (part,) = run.search_parts()
    row = next(row for row in read_part(part) if row.status == "ok")
    places = [system.frame.join(np.array(registry)).positions for registry in REGISTRIES]
    made = [candidate(row, index, positions) for index, positions in enumerate(places)]
    shown = next(one for one in made if one.id == TRUE)
    lengths = np.diag(np.asarray(system.bicrystal.cell))
    pixels = Pixels((140, round(2 * lengths[1] / 0.2)), 0.2, 0.0, system.frame.centre + 14.0)
    clean = projected(shown.positions, lengths, "x", pixels, 0.8)
    run.targets.mkdir()
    write_image(run.targets / "a.npy", noisy(clean, 0.1, np.random.default_rng(0)))
    config = dump(load_campaign(run.config, [TERMS]))
    run.config.write_text(config)
    load_boundary_system.cache_clear()
    part.unlink()
    write_part(run.relaxed_part(1, 0), made, {"config": config})
    return run.path


def test_the_structure_of_an_image_is_the_candidate_most_like_it(guided):
    image = placed_image(load_boundary_system(str(guided)), RunDirectory(guided))
    compared = compare(image, Found.of(guided))
    assert len(compared) == 3
    assert compared[0].candidate.id == TRUE
    # The noise of the image leaves this correlation with the structure itself.
    assert compared[0].correlation > 0.9 * image.expected > compared[1].correlation
    assert len(image_figure(image, compared[:2]).axes) == 3


def test_a_report_of_a_guided_campaign_shows_what_was_asked_and_found(guided):
    html = to_html(report_document(guided))
    assert "Asked and found" in html and "Wilson" in html
    assert "projections of the candidates that are most like it" in html
    text = re.sub(r"<[^>]+>", " ", html)
    assert re.search(r"all\s+3\s+2\s+67%\s+21% to 94%", text)


def test_a_report_without_guidance_has_no_such_part(tmp_path):
    run = RunDirectory(make_set(tmp_path)).member("s5_210")
    assert "Asked and found" not in to_html(report_document(run.path))
