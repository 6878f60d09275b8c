"""In-painting in terms of atoms: what is known comes back exactly, and nothing is lost or doubled
at the seams.
"""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from gcd_hpc.learning.assembly import (
    Canvas,
    known_mask,
    repaired,
    slab_window,
    window_mask,
)
from gcd_hpc.search.windows import Window
from gcd_hpc.seeds import generator
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.sites import Sites
from gcd_hpc.voxels.channels import Channels
from gcd_hpc.voxels.grid import Grid
from gcd_hpc.voxels.moment import decode_moments
from gcd_hpc.voxels.species import decode_elements

KNOWN = 18
TUNGSTEN = Channels.of(["W"])


def sites(positions: np.ndarray) -> Sites:
    return Sites(positions, np.full(len(positions), 74))


def make_canvas(frame: Frame, index: int) -> Canvas:
    rng = generator(7, index)
    grid = Grid((12, 12, 72), (*np.diag(frame.bicrystal.cell), frame.height))
    registry = frame.random_registry(rng)
    shift = rng.random(3) * grid.spacing
    return Canvas(frame, grid, TUNGSTEN, KNOWN, registry, shift)


def distances(frame: Frame, found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """From each expected atom to the nearest found one, Å."""
    box = np.array([*np.diag(frame.bicrystal.cell), 10 * frame.height])
    lifted = np.array([0.0, 0.0, frame.height])
    return cKDTree((found + lifted) % box, boxsize=box).query((expected + lifted) % box)[0]


@pytest.mark.parametrize("index", range(12))
def test_two_perfect_grains_survive_the_way_through_voxels(w_frame, index):
    canvas = make_canvas(w_frame, index)
    # With a wide enough gap no two atoms of different grains come closer than the decoder can tell
    # apart.
    canvas.registry[2] = w_frame.bicrystal.plane_spacing * (0.5 + 0.04 * index)
    joined = w_frame.join(canvas.registry).positions
    decoded = decode_elements(canvas.perfect().numpy(), TUNGSTEN, canvas.grid, decode_moments)
    assembled = canvas.assemble(decoded).positions
    assert len(assembled) == len(joined)
    # Atoms of the two grains may share voxels at the joint; elsewhere the decoder is exact to
    # float32.
    assert np.median(distances(w_frame, assembled, joined)) < 1e-5
    assert distances(w_frame, assembled, joined).max() < 0.1


@pytest.mark.parametrize("noise", [0.05, 0.2])
def test_atoms_beside_the_seams_are_neither_lost_nor_doubled_when_the_decoder_is_inexact(
    w_frame, noise
):
    for index in range(12):
        canvas = make_canvas(w_frame, index)
        joined = w_frame.join(canvas.registry).positions
        decoded = joined + canvas.shift + generator(8, index).normal(0.0, noise, joined.shape)
        assembled = canvas.assemble(sites(decoded)).positions
        assert len(assembled) == len(joined)
        assert distances(w_frame, assembled, joined).max() < 6 * noise


def test_known_layers_hold_undisturbed_grain_whatever_the_registry(w_frame):
    """The seams lie inside the known layers and leave +-10 Å to the decoder."""
    for index in range(30):
        canvas = make_canvas(w_frame, index)
        low, high = canvas.seams()
        spacing = canvas.grid.spacing[2]
        assert low + canvas.shift[2] < (KNOWN - 1) * spacing
        assert high + canvas.shift[2] > (canvas.grid.shape[2] - KNOWN) * spacing
        assert low < w_frame.centre - 10.0 < w_frame.centre + 10.0 < high


def test_the_mask_marks_both_ends():
    mask = known_mask((4, 4, 12), 3)
    assert mask[0, 0].tolist() == [True] * 3 + [False] * 6 + [True] * 3
    assert (mask == mask[0, 0]).all()


def test_the_slab_as_a_window_knows_the_same_layers(w_frame):
    for index in range(12):
        canvas = make_canvas(w_frame, index)
        slab = slab_window(canvas.grid, KNOWN, canvas.shift)
        mask = window_mask([slab], canvas.grid, canvas.shift)
        assert torch.equal(mask, known_mask(canvas.grid.shape, KNOWN))


def test_the_unknown_voxels_of_a_window_are_those_within_it_across_the_periodic_edge(w_frame):
    canvas = make_canvas(w_frame, 0)
    spacing, shift = np.array(canvas.grid.spacing), canvas.shift
    window = Window(np.array([0.1, 9.9, w_frame.centre]), 3.0, 6.0)
    mask = window_mask([window], canvas.grid, shift).numpy()
    lengths = np.array(canvas.grid.lengths)
    for index in np.ndindex(canvas.grid.shape):
        apart = np.array(index) * spacing - shift - window.centre
        apart[:2] -= lengths[:2] * np.rint(apart[:2] / lengths[:2])
        assert mask[index] == (np.hypot(*apart[:2]) > 3.0 or abs(apart[2]) > 6.0)
    # The cylinder's volume in voxels, to the roughness of its edge.
    assert (~mask).sum() == pytest.approx(np.pi * 9 * 12 / spacing.prod(), rel=0.15)


@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_a_window_decoded_as_it_was_neither_loses_nor_doubles_atoms(w_frame, noise):
    for index in range(12):
        canvas = make_canvas(w_frame, index)
        parent = w_frame.join(canvas.registry).positions
        rng = generator(9, index)
        centre = parent[np.argmin(abs(parent[:, 2] - w_frame.centre))]
        window = Window(centre, rng.uniform(3.0, 6.5), 6.0)
        decoded = parent + rng.normal(0.0, noise, parent.shape)
        given = (sites(parent), sites(decoded), [window])
        assembled = repaired(*given, canvas.grid, w_frame).positions
        outside = parent[~window.mask(parent, w_frame.cell)]
        assert np.array_equal(assembled[: len(outside)], outside)
        assert len(assembled) == len(parent)
        assert distances(w_frame, assembled, parent).max() < 6 * noise
