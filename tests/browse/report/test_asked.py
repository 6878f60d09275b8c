"""The part of a report that shows what guided candidates were asked for, and what was found."""

from dataclasses import replace
from pathlib import Path

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
TRUE = "model-01-000002"


@pytest.fixture(scope="module")
def guided(tmp_path_factory):
    """Tilt boundaries of copper as candidates of a model that was asked for an [n] and an image."""
    run = RunDirectory(make_set(tmp_path_factory.mktemp("set"))).member("s5_210")
    plain = load_campaign(run.config)
    folder = tmp_path_factory.mktemp("files")
    prepare(run.path, plain, folder)
    system = load_boundary_system(str(run.path))
    (part,) = run.search_parts()
    rows = [row for row in read_part(part) if row.status == "ok"]
    # All were asked for the [n] of the first one.
    asked = rows[0].n_fraction
    made = [
        replace(
            row,
            id=f"model-01-{index:06d}",
            source="model",
            version=1,
            round=1,
            index=index,
            target_n_fraction=asked,
        )
        for index, row in enumerate(rows)
    ]
    shown = next(row for row in made if row.id == TRUE)
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
    found = Found.of(guided)
    image = placed_image(load_boundary_system(str(guided)), RunDirectory(Path(guided)))
    compared = compare(image, found)
    energies = {one.candidate.id: one.candidate.gb_energy_j_m2 for one in compared}
    best = compared[0]
    # Noise leaves less than 1; copies of one structure in other cells cannot be told apart.
    assert best.correlation > 0.9 * image.expected
    assert energies[best.candidate.id] == pytest.approx(energies[TRUE], abs=1e-6)
    assert len(image_figure(image, compared[:2]).axes) == 3


def test_a_report_of_a_guided_campaign_shows_what_was_asked_and_found(guided):
    html = to_html(report_document(guided))
    assert "Asked and found" in html and "Wilson" in html
    assert "projections of the candidates that are most like it" in html
    run = Found.of(guided).run.columns(["n_fraction", "target_n_fraction"])
    num = int(np.isclose(run["n_fraction"], run["target_n_fraction"]).sum())
    share = f"{num / len(run['n_fraction']):.0%}"
    assert f">{num}<" in html and f">{share}<" in html


def test_a_report_without_guidance_has_no_such_part(tmp_path):
    run = RunDirectory(make_set(tmp_path)).member("s5_210")
    assert "Asked and found" not in to_html(report_document(run.path))
