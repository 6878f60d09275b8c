"""Windows on the boundary, and slabs that are brought back into their frame."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from gcd_hpc.config.campaign import RelaxationConfig
from gcd_hpc.config.explore import ExploreConfig
from gcd_hpc.engines.relaxation import relax_boundary
from gcd_hpc.errors import StructureError
from gcd_hpc.search.windows import (
    CORE,
    DRIFT,
    SURFACE,
    Parent,
    Window,
    boundary_height,
    draw_window,
    recentred,
)
from gcd_hpc.structures.energetics import closest_pair, n_index
from gcd_hpc.structures.frame import Frame
from tests.reference import ENERGIES_J_M2, GROUND_STATE, METASTABLE
from tests.search.parents import SLABS, W_COHESIVE_EV, gaps, made_up, reference
from tests.structures.boundaries import ALL, W_TWIST

FRAMES = {name: Frame.build(boundary, SLABS, 80.0) for name, boundary in ALL.items()}
CONFIG = ExploreConfig()
ROUNDING = 1e-9  # of sums of lengths, Å


@given(some.integers(0, 10_000))
def test_a_window_holds_the_atoms_within_its_radius_across_the_cell_border(seed):
    rng = np.random.default_rng(seed)
    lengths = rng.uniform(3.0, 20.0, 2)
    positions = rng.uniform(0.0, 1.0, (60, 3)) * [*lengths, 30.0]
    window = Window(positions[0], float(rng.uniform(1.0, 6.0)), float(rng.uniform(1.0, 6.0)))
    images = [
        positions - window.centre + [x * lengths[0], y * lengths[1], 0.0]
        for x in (-1, 0, 1)
        for y in (-1, 0, 1)
    ]
    flat = np.min([np.hypot(image[:, 0], image[:, 1]) for image in images], axis=0)
    expected = (flat <= window.radius) & (np.abs(images[0][:, 2]) <= window.depth)
    np.testing.assert_array_equal(window.mask(positions, lengths), expected)


@pytest.mark.parametrize("name", [name for name in FRAMES if name != "perfect"])
def test_the_height_of_the_boundary_is_that_of_its_atoms_and_not_of_the_surfaces(name):
    frame = FRAMES[name]
    parent = made_up(frame)
    assert boundary_height(parent, frame) == pytest.approx(frame.centre, abs=1.0)


def test_the_strain_energy_of_a_whole_grain_does_not_move_the_height_of_the_boundary():
    frame = FRAMES["strained"]
    parent = made_up(frame)
    strained = parent.excess_ev + np.where(parent.positions[:, 2] > frame.centre, 0.02, 0.0)
    height = boundary_height(Parent(parent.positions, strained, parent.registry), frame)
    assert height == pytest.approx(boundary_height(parent, frame), abs=0.1)


def test_a_perfect_crystal_has_its_boundary_at_the_centre():
    frame = FRAMES["perfect"]
    parent = made_up(frame, (0.0, 0.0, 0.0))
    nothing = np.zeros(len(parent.positions))
    assert boundary_height(Parent(parent.positions, nothing, parent.registry), frame) == (
        frame.centre
    )


def test_windows_lie_about_atoms_of_the_boundary_and_mostly_about_those_of_high_energy():
    parent, frame = reference(GROUND_STATE, W_TWIST)
    height = boundary_height(parent, frame)
    rng = np.random.default_rng(0)
    windows = [draw_window(parent, frame, CONFIG, rng) for _ in range(2000)]
    low, high = CONFIG.window_radius
    assert all(low <= window.radius <= high and window.depth == 6.0 for window in windows)
    assert {window.centre[2] for window in windows} == {height}
    counts = Counter(tuple(window.centre[:2]) for window in windows)
    near = np.flatnonzero(np.abs(parent.positions[:, 2] - height) <= 6.0)
    weights = np.exp(parent.excess_ev[near] / 0.15)
    for index, share in zip(near, weights / weights.sum(), strict=True):
        if share > 0.02:  # atoms one above the other would count together; none of these do
            expected, found = 2000 * share, counts[tuple(parent.positions[index, :2])]
            assert abs(found - expected) < 4 * np.sqrt(expected), "four standard deviations"


def test_a_window_holds_an_atom_even_if_it_is_shallow():
    frame = FRAMES["W twist"]
    parent, shallow = made_up(frame), ExploreConfig(window_depth=1.5)
    for seed in range(50):
        window = draw_window(parent, frame, shallow, np.random.default_rng(seed))
        assert window.mask(parent.positions, frame.cell).any()


def test_a_boundary_without_atoms_has_no_window():
    frame = FRAMES["W twist"]
    with pytest.raises(StructureError, match=r"no atom lies within 0\.001 Å .*window_depth"):
        draw_window(
            made_up(frame), frame, ExploreConfig(window_depth=0.001), np.random.default_rng(0)
        )


def drifted(frame: Frame, registry, planes_below: int, planes_above: int) -> Parent:
    """A slab with more planes below, or fewer, and more above, than the frame has."""
    step = planes_below * frame.bicrystal.plane_spacing
    rise = planes_above * frame.bicrystal.upper.plane_spacing
    taller = Frame(
        frame.bicrystal,
        frame.height + 2 * abs(step) + 2 * abs(rise),
        frame.bottom,
        frame.num_lower_planes + planes_below,
        frame.num_upper_planes + planes_above,
    )
    parent = made_up(taller, registry)
    offset = taller.upper_plane - frame.upper_plane
    return Parent(
        parent.positions, parent.excess_ev, parent.registry + np.array([0.0, 0.0, offset])
    )


@pytest.mark.parametrize("planes", [(0, 0), (3, 0), (-3, 0), (0, 5), (0, -4), (4, 4), (-4, 6)])
@pytest.mark.parametrize("name", [name for name in FRAMES if name != "perfect"])
def test_a_drifted_boundary_comes_back_with_whole_planes_of_both_grains(name, planes):
    """At the boundaries of all lattices; the atoms that stay keep their surroundings."""
    frame, registry = FRAMES[name], (0.7, 1.1, 0.03)
    parent = drifted(frame, registry, *planes)
    central = recentred(parent, frame)
    plane, spacing = frame.bicrystal.atoms_per_plane, frame.bicrystal.plane_spacing
    assert n_index(len(central.positions), plane) == n_index(len(parent.positions), plane)
    allowed = max(DRIFT, spacing / 2) + ROUNDING
    assert abs(boundary_height(central, frame) - frame.centre) <= allowed
    # Both ends are those of the frame, on the lattice.
    dz = central.registry[2]
    assert dz + ROUNDING >= 0 and dz < frame.bicrystal.upper.plane_spacing
    low, high = frame.lower(frame.centre - CORE), frame.upper(central.registry, frame.centre + CORE)
    assert central.positions[:, 2].min() == pytest.approx(low[:, 2].min(), abs=ROUNDING)
    assert central.positions[:, 2].max() == pytest.approx(high[:, 2].max(), abs=ROUNDING)
    assert max(gaps(frame, end, central.positions).max() for end in (low, high)) < ROUNDING
    assert closest_pair(central.positions, frame.cell) == pytest.approx(
        closest_pair(parent.positions, frame.cell), abs=1e-6
    )
    assert len(central.excess_ev) == len(central.positions)


@pytest.mark.parametrize("name", FRAMES)
def test_a_slab_that_fits_keeps_its_atoms_bit_for_bit(name):
    frame = FRAMES[name]
    parent = made_up(frame)
    central = recentred(parent, frame)
    np.testing.assert_array_equal(central.positions, parent.positions)
    np.testing.assert_array_equal(central.excess_ev, parent.excess_ev)


@pytest.mark.parametrize("planes", [(3, 0), (-3, 2), (0, 5)])
def test_a_slab_that_was_brought_back_stays_where_it_is(planes):
    frame = FRAMES["Al Sigma11(113)[110] tilt"]
    once = recentred(drifted(frame, (0.7, 1.1, 0.5), *planes), frame)
    twice = recentred(once, frame)
    np.testing.assert_array_equal(once.positions, twice.positions)
    np.testing.assert_array_equal(once.registry, twice.registry)


def test_added_planes_and_the_surface_they_cover_have_no_excess_energy_and_others_keep_theirs():
    frame = FRAMES["W twist"]
    parent = drifted(frame, (0.7, 1.1, 0.4), -3, 0)
    central = recentred(parent, frame)
    added = 3 * frame.bicrystal.lower.atoms_per_plane
    kept = central.excess_ev[added:]
    depth = parent.positions[:, 2] - parent.positions[:, 2].min()
    expected = np.where(depth < SURFACE, 0.0, parent.excess_ev)[: len(kept)]
    assert (central.excess_ev[:added] == 0).all()
    np.testing.assert_array_equal(kept, expected)


@pytest.mark.parametrize("wrong", [(1.3, 0.2, 0.7), (0.5, 0.5, 0.5)])
def test_a_registry_that_is_not_that_of_the_atoms_is_refused(wrong):
    frame = FRAMES["W twist"]
    parent = drifted(frame, (0.0, 0.0, 0.0), 3, 0)
    false = Parent(parent.positions, parent.excess_ev, parent.registry + wrong)
    with pytest.raises(StructureError, match="sites of the upper grain's outer layers have an"):
        recentred(false, frame)


def test_an_incomplete_plane_at_the_end_of_a_slab_is_refused():
    frame = FRAMES["W twist"]
    parent = drifted(frame, (0.7, 1.1, 0.4), 3, 0)
    without = Parent(parent.positions[1:], parent.excess_ev[1:], parent.registry)
    with pytest.raises(StructureError, match=r"\[n\] would change from 9/10 to 0/10"):
        recentred(without, frame)


def test_layers_that_will_be_held_are_put_on_their_sites():
    """They were free before, and relaxed by up to some hundredths of an Å."""
    frame = FRAMES["W twist"]
    parent = drifted(frame, (0.7, 1.1, 0.4), 3, 0)
    rattled = parent.positions + np.random.default_rng(0).uniform(-0.05, 0.05, (1, 1)) * (
        np.abs(parent.positions[:, 2:] - parent.positions[:, 2].mean()) < 18.0
    )
    central = recentred(Parent(rattled, parent.excess_ev, parent.registry), frame)
    assert gaps(frame, frame.lower(frame.centre - CORE), central.positions).max() < ROUNDING


@pytest.mark.lammps
@pytest.mark.parametrize(("path", "repeats"), [(GROUND_STATE, (1, 1)), (METASTABLE, (2, 1))])
@pytest.mark.parametrize("lift", [0, 4])
def test_a_slab_brought_back_has_the_energy_that_it_had(child, bulk, path, repeats, lift):
    """The reference structures are 10 Å higher than the frame; their boundary lies off its centre.

    Relaxed again they end within 1 mJ/m^2: held layers are 10 Å nearer to the boundary than before.
    """
    boundary = W_TWIST.replicated(*repeats)
    parent, frame = reference(path, boundary)
    up = lift * boundary.plane_spacing * np.array([0.0, 0.0, 1.0])
    moved = Parent(parent.positions + up, parent.excess_ev, parent.registry + up)
    central = recentred(moved, frame)
    assert len(central.positions) < len(parent.positions)
    atoms = frame.atoms(central.positions)
    relaxed = relax_boundary(child, atoms, boundary, bulk, RelaxationConfig())
    assert relaxed.gb_energy_j_m2 == pytest.approx(ENERGIES_J_M2[path], abs=1e-3)
    assert relaxed.n_index == n_index(len(parent.positions), boundary.atoms_per_plane)
    assert bulk.cohesive_ev == pytest.approx(W_COHESIVE_EV, abs=1e-5)
