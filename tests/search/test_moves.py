"""Moves: what each changes, and what it leaves as it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy.spatial import cKDTree

from gcd_hpc.config.campaign import RelaxationConfig
from gcd_hpc.config.explore import ExploreConfig
from gcd_hpc.engines.relaxation import relax_boundary
from gcd_hpc.search.moves import (
    AMPLITUDE,
    LOCAL_MOVES,
    MERGED,
    SAME_REGISTRY,
    SHIFT,
    VOID_DEPTH,
    Proposal,
    crossover,
    exchange,
    insert,
    remove,
    shake,
    tile,
)
from gcd_hpc.search.windows import CORE, Parent, Window, boundary_height, draw_window, recentred
from gcd_hpc.structures.energetics import closest_pair
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.periodic import fractional, minimum_image
from tests.reference import ENERGIES_J_M2, GROUND_STATE, METASTABLE
from tests.search.parents import SLABS, gaps, made_up, reference
from tests.structures.boundaries import ALL, W_TWIST

FRAMES = {name: Frame.build(boundary, SLABS, 80.0) for name, boundary in ALL.items()}
CONFIG = ExploreConfig()
CHANGES = {"remove": -1, "insert": 1, "exchange": 0, "shake": 0, "shift": 0}
IN_WINDOW = {name: LOCAL_MOVES[name] for name in LOCAL_MOVES if name != "shift"}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def moved(name: str, frame: Frame, seed: int) -> tuple[Parent, Window, Proposal]:
    parent, stream = made_up(frame), rng(seed)
    window = draw_window(parent, frame, CONFIG, stream)
    return parent, window, LOCAL_MOVES[name](parent, frame, window, stream)


def common_rows(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Whether each row of the first array (N, 3) is also one of the second, bit for bit."""
    known = set(map(tuple, two.tolist()))
    return np.array([row in known for row in map(tuple, one.tolist())])


def test_the_five_local_moves_have_the_labels_of_the_store():
    assert list(LOCAL_MOVES) == ["remove", "insert", "exchange", "shake", "shift"]


@settings(max_examples=10)
@given(seed=some.integers(0, 10_000))
@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("move", LOCAL_MOVES)
def test_each_move_changes_the_number_of_atoms_as_it_says_and_keeps_them_in_the_cell(
    move, name, seed
):
    frame = FRAMES[name]
    parent, _, proposal = moved(move, frame, seed)
    assert len(proposal.positions) == len(parent.positions) + CHANGES[move]
    fractions = fractional(proposal.positions, frame.cell)[:, :2]
    assert (fractions > -1e-12).all()
    assert (fractions < 1 + 1e-12).all()


@settings(max_examples=10)
@given(seed=some.integers(0, 10_000))
@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("move", IN_WINDOW)
def test_atoms_outside_the_window_stay_bit_for_bit_and_in_their_order(move, name, seed):
    frame = FRAMES[name]
    parent, window, proposal = moved(move, frame, seed)
    outside = parent.positions[~window.mask(parent.positions, frame.cell)]
    kept = proposal.positions[common_rows(proposal.positions, outside)]
    np.testing.assert_array_equal(kept, outside)
    assert proposal.window is window
    np.testing.assert_array_equal(proposal.registry, parent.registry)


@pytest.mark.parametrize("move", LOCAL_MOVES)
def test_the_same_stream_gives_the_same_proposal(move):
    frame = FRAMES["W twist"]
    one, two = (moved(move, frame, 5)[2] for _ in range(2))
    np.testing.assert_array_equal(one.positions, two.positions)


@pytest.mark.parametrize("move", LOCAL_MOVES)
def test_a_move_does_not_change_its_parent(move):
    frame = FRAMES["W twist"]
    parent, _, _ = moved(move, frame, 3)
    np.testing.assert_array_equal(parent.positions, made_up(frame).positions)


def test_all_atoms_of_the_window_are_shaken_with_one_amplitude():
    """Displacements along each axis are normal; amplitudes lie between 0.1 and 0.4 Å."""
    frame = FRAMES["W twist"]
    amplitudes = []
    for seed in range(100):
        parent, window, proposal = moved("shake", frame, seed)
        inside = window.mask(parent.positions, frame.cell)
        steps = minimum_image(proposal.positions - parent.positions, frame.bicrystal.cell)
        assert (np.abs(steps[inside]).max(axis=1) > 0).all()
        amplitudes.append(np.sqrt((steps[inside] ** 2).mean()))
    # Of 30 and more atoms, 90 and more displacements: the spread is off by a twelfth at most.
    assert AMPLITUDE[0] / 1.3 < min(amplitudes) < 0.15
    assert 0.35 < max(amplitudes) < AMPLITUDE[1] * 1.3


@pytest.mark.parametrize("move", [remove, exchange])
def test_atoms_of_high_energy_are_removed_first(move):
    """One atom 2 eV above all others is 22,000 times as likely as they are."""
    frame = FRAMES["W twist"]
    parent = made_up(frame)
    middle = np.array([5.0, 5.0, frame.centre])
    window = Window(middle, 5.0, 4.0)
    inside = np.flatnonzero(window.mask(parent.positions, frame.cell))
    excess = np.zeros(len(parent.positions))
    hot = inside[7]
    excess[hot] = 2.0
    excess[~np.isin(np.arange(len(excess)), inside)] = 5.0  # outside: never removed
    marked = Parent(parent.positions, excess, parent.registry)
    for seed in range(20):
        proposal = move(marked, frame, window, rng(seed))
        # The shaken window keeps its order, so the atom after the removed one moved up.
        expected = move_without(marked, frame, window, seed, hot)
        np.testing.assert_array_equal(proposal.positions[: len(expected)], expected)


def move_without(parent: Parent, frame: Frame, window: Window, seed: int, index: int) -> np.ndarray:
    """The structure shaken by the same stream, without one atom."""
    shaken = shake(parent, frame, window, rng(seed)).positions
    return np.delete(shaken, index, axis=0)


@pytest.mark.parametrize("move", [insert, exchange])
def test_atoms_are_inserted_into_the_largest_voids_near_the_boundary(move):
    """With one atom of the window gone, its place is the largest void there."""
    frame = FRAMES["perfect"]
    full = made_up(frame, (0.0, 0.0, 0.0))
    near = np.abs(full.positions[:, 2] - frame.centre)
    gone = int(np.argmin(near))
    parent = Parent(
        np.delete(full.positions, gone, axis=0), np.delete(full.excess_ev, gone), full.registry
    )
    hole = full.positions[gone]
    window = Window(np.array([hole[0], hole[1], frame.centre]), 3.0, 6.0)
    found = []
    for seed in range(30):
        new = move(parent, frame, window, rng(seed)).positions[-1]
        offset = minimum_image(new - window.centre, frame.bicrystal.cell)
        assert np.hypot(offset[0], offset[1]) <= window.radius
        assert abs(offset[2]) <= VOID_DEPTH
        found.append(np.linalg.norm(minimum_image(new - hole, frame.bicrystal.cell)))
    if move is insert:
        # Five of 200 points in 226 Å^3 lie within 1.1 Å; a shake of 0.4 Å makes the hole uneven.
        assert np.median(found) < 1.4


def test_an_inserted_atom_sees_the_images_of_the_others_across_the_border():
    frame = FRAMES["Cu Sigma5(210)[001] tilt"]  # 3.6 Å wide: the window holds images of itself
    distances = []
    for seed in range(40):
        _, window, proposal = moved("insert", frame, seed)
        new, others = proposal.positions[-1:], proposal.positions[:-1]
        distances.append(gaps(frame, new, others)[0])
        # As far from all images as the best of many random points of the window, within a tenth.
        points = window.centre + rng(seed).uniform(-1, 1, (200, 3)) * [3.0, 3.0, 4.0]
        best = np.sort(gaps(frame, points, others))[-20]
        assert distances[-1] > 0.8 * best
    assert min(distances) > 0.9


def test_a_shift_moves_the_atoms_above_the_boundary_and_no_others():
    frame = FRAMES["W twist"]
    steps = []
    for seed in range(200):
        parent, _, proposal = moved("shift", frame, seed)
        upper = parent.positions[:, 2] > boundary_height(parent, frame)
        np.testing.assert_array_equal(proposal.positions[~upper], parent.positions[~upper])
        offsets = minimum_image(
            proposal.positions[upper] - parent.positions[upper], frame.bicrystal.cell
        )
        np.testing.assert_allclose(offsets, np.broadcast_to(offsets[0], offsets.shape), atol=1e-9)
        assert (offsets[:, 2] == 0).all()
        assert proposal.window is None
        steps.append(offsets[0, :2])
    assert np.std(steps) == pytest.approx(SHIFT, rel=0.15), "400 numbers, four deviations"


@pytest.mark.parametrize("name", FRAMES)
def test_the_registry_of_a_shifted_grain_is_that_of_its_atoms(name):
    frame = FRAMES[name]
    for seed in range(10):
        _, _, proposal = moved("shift", frame, seed)
        sites = frame.upper(proposal.registry, frame.centre + CORE)
        assert gaps(frame, sites, proposal.positions).max() < 1e-6


# Crossover.


def crossed(frame: Frame, one: Parent, two: Parent, num: int = 20) -> list[Proposal]:
    found = [crossover(one, two, frame, rng(seed)) for seed in range(num)]
    assert None not in found
    return [proposal for proposal in found if proposal is not None]


@pytest.mark.parametrize("name", FRAMES)
def test_a_crossover_leaves_the_outer_layers_of_the_parent_bit_for_bit(name):
    frame = FRAMES[name]
    parent = made_up(frame)
    outer = np.abs(parent.positions[:, 2] - frame.centre) > CORE
    for proposal in crossed(frame, parent, made_up(frame, (0.8, 1.0, 0.5))):
        assert common_rows(parent.positions[outer], proposal.positions).all()
        np.testing.assert_array_equal(proposal.registry, parent.registry)
        assert proposal.window is None


@pytest.mark.parametrize(
    "name",
    ["perfect", "W twist", "Si twist", "Al Sigma11(113)[110] tilt", "Cu Sigma7(111) rhomb"],
)
def test_two_grains_that_were_only_joined_are_their_own_child(name):
    """Each grain is periodic under the lattice vectors by which the partner may be moved, if the
    registry comes to rest where it was.
    """
    frame = FRAMES[name]
    parent = made_up(frame)
    for proposal in crossed(frame, parent, parent):
        assert len(proposal.positions) == len(parent.positions)
        assert gaps(frame, proposal.positions, parent.positions).max() < SAME_REGISTRY


def test_no_atom_beside_a_cut_is_lost_though_it_lies_on_the_other_side_in_the_partner():
    """Relaxed crystals differ by hundredths of an Å; a lost atom would be a vacancy."""
    frame = FRAMES["perfect"]
    crystal = made_up(frame, (0.0, 0.0, 0.0))

    def rattled(seed: int) -> Parent:
        steps = rng(seed).uniform(-0.1, 0.1, crystal.positions.shape)
        positions = frame.bicrystal.wrap(crystal.positions + steps)
        return Parent(positions, crystal.excess_ev, crystal.registry)

    for proposal in crossed(frame, rattled(1), rattled(2), 60):
        assert len(proposal.positions) == len(crystal.positions)


def test_no_two_atoms_of_a_child_are_nearer_than_in_its_parents_or_than_those_that_are_merged():
    frame = FRAMES["W twist"]
    parent = made_up(frame)
    near = np.abs(parent.positions[:, 2:] - frame.centre) < 4.0
    loose = parent.positions + near * rng(1).normal(0.0, 0.4, parent.positions.shape)
    partner = Parent(frame.bicrystal.wrap(loose), parent.excess_ev, parent.registry)
    allowed = min(
        MERGED * frame.bicrystal.nearest_neighbor,
        *(closest_pair(one.positions, frame.cell) for one in (parent, partner)),
    )
    for proposal in crossed(frame, parent, partner, 40):
        assert closest_pair(proposal.positions, frame.cell) >= allowed - 1e-9


@pytest.mark.parametrize("boundary", [W_TWIST, ALL["Cu Sigma7(111) rhomb"].replicated(2, 2)])
def test_a_child_has_atoms_of_both_parents_on_their_sides_of_the_cuts(boundary):
    """The partner lacks all atoms of the boundary, so the child lacks them between the cuts."""
    frame = Frame.build(boundary.replicated(2, 2), SLABS, 80.0)
    parent = made_up(frame)
    near = np.abs(parent.positions[:, 2] - frame.centre) < 3.0
    hollow = Parent(parent.positions[~near], parent.excess_ev[~near], parent.registry)
    shares = []
    for proposal in crossed(frame, parent, hollow, 40):
        left = int((np.abs(proposal.positions[:, 2] - frame.centre) < 3.0).sum())
        shares.append(1 - left / int(near.sum()))
    # A quarter to three quarters of the cell, and one atom's width more or less.
    assert 0.1 < min(shares) < 0.35 and 0.65 < max(shares) < 0.9


@pytest.mark.parametrize(
    "name", ["W twist", "Si twist", "Al Sigma11(113)[110] tilt", "Si Sigma7(111) rhomb"]
)
def test_the_upper_grain_of_the_child_lies_in_one_registry(name):
    """The partner's registry differs by up to 0.3 Å in the plane, and along z."""
    frame = FRAMES[name]
    parent, partner = made_up(frame), made_up(frame, (0.85, 1.0, 0.1))
    for proposal in crossed(frame, parent, partner):
        sites = frame.upper(parent.registry, frame.centre + 6.0)
        assert gaps(frame, sites, proposal.positions).max() < 1e-6


@pytest.mark.parametrize("name", ["W twist", "Cu Sigma5(210)[001] tilt", "Cu Sigma7(111) rhomb"])
def test_registries_match_if_they_differ_by_vectors_of_either_lattice(name):
    frame = FRAMES[name]
    boundary, parent = frame.bicrystal, made_up(frame)
    spacing = boundary.plane_spacing
    for side in ("lower", "upper"):
        for step in boundary.lattice_points(side, (0.0, 0.0, 0.0), 0.0, spacing / 2)[:6]:
            assert crossover(parent, made_up(frame, parent.registry + step), frame, rng())


def test_parents_of_other_registries_have_no_child():
    """Cu Sigma5(210): registries repeat after 0.8 Å along y at the least, 1.8 Å along x."""
    frame = FRAMES["Cu Sigma5(210)[001] tilt"]
    parent, step = made_up(frame), np.array([1.0, 0.0, 0.0])
    far, near = (made_up(frame, parent.registry + length * step) for length in (0.6, 0.2))
    assert crossover(parent, far, frame, rng()) is None
    assert crossover(parent, near, frame, rng()) is not None


# Tiles.


@pytest.mark.parametrize("repeats", [(1, 1), (2, 1), (1, 3), (3, 2)])
@pytest.mark.parametrize("name", ["W twist", "Cu Sigma7(111) rhomb"])
def test_a_tiled_structure_is_the_smaller_one_over_and_over(name, repeats):
    small = FRAMES[name]
    large = Frame.build(small.bicrystal.replicated(*repeats), SLABS, 80.0)
    parent = made_up(small)
    tiled = tile(parent, small.cell, repeats)
    expected = large.join(parent.registry).positions
    assert len(tiled.positions) == len(tiled.excess_ev) == len(expected)
    assert gaps(large, expected, tiled.positions).max() < 1e-9


@pytest.mark.lammps
@pytest.mark.parametrize(("path", "repeats"), [(GROUND_STATE, (2, 2)), (METASTABLE, (1, 2))])
def test_a_tiled_structure_has_the_energy_of_its_tile(child, bulk, path, repeats):
    """Within 1 mJ/m^2: tile and tiling are relaxed to forces of 1e-3 eV/Å."""
    cell = W_TWIST if path is GROUND_STATE else W_TWIST.replicated(2, 1)
    parent, frame = reference(path, cell)
    tiled = tile(recentred(parent, frame), frame.cell, repeats)
    boundary = cell.replicated(*repeats)
    large = Frame.build(boundary, SLABS, frame.height)
    relaxed = relax_boundary(
        child, large.atoms(tiled.positions), boundary, bulk, RelaxationConfig()
    )
    assert relaxed.gb_energy_j_m2 == pytest.approx(ENERGIES_J_M2[path], abs=1e-3)


@pytest.mark.lammps
def test_the_children_of_the_ground_state_with_itself_are_relaxed_without_a_fault(child, bulk):
    """Cuts through a real boundary give structures that LAMMPS relaxes; one is the parent again."""
    parent, frame = reference(GROUND_STATE, W_TWIST)
    central = recentred(parent, frame)
    energies = [
        relax_boundary(
            child, frame.atoms(proposal.positions), W_TWIST, bulk, RelaxationConfig()
        ).gb_energy_j_m2
        for proposal in crossed(frame, central, central, 4)
    ]
    assert min(energies) > ENERGIES_J_M2[GROUND_STATE] - 1e-3
    assert max(energies) < 5.0


@pytest.mark.lammps
@pytest.mark.parametrize(("move", "change"), [(remove, -1), (insert, 1)])
def test_many_moves_of_one_kind_change_n_but_neither_the_size_nor_the_place_of_the_slab(
    child, bulk, move, change
):
    """After 25 moves two and a half planes are gone, or too many; whole ones come back or go."""
    parent, frame = reference(GROUND_STATE, W_TWIST)
    stream, plane = rng(1), W_TWIST.atoms_per_plane
    parent = recentred(parent, frame)
    first = len(parent.positions)
    for number in range(1, 26):
        proposal = move(parent, frame, draw_window(parent, frame, CONFIG, stream), stream)
        relaxed = relax_boundary(
            child,
            frame.atoms(proposal.positions),
            W_TWIST,
            bulk,
            RelaxationConfig(),
            finish=False,
        )
        excess = relaxed.energies - bulk.cohesive_ev
        registry = proposal.registry + relaxed.shift
        parent = recentred(Parent(relaxed.positions, excess, registry), frame)
        assert (len(parent.positions) - first - change * number) % plane == 0
        assert abs(len(parent.positions) - first) <= 1.5 * plane
        assert abs(boundary_height(parent, frame) - frame.centre) < 3.0
        assert frame.bottom == pytest.approx(parent.positions[:, 2].min())
        assert frame.top < parent.positions[:, 2].max() + W_TWIST.plane_spacing


def test_trees_of_points_count_periodic_images_along_x_and_y_alone():
    """A length of zero makes an axis open; voids above the slab would else be next to its foot."""
    tree = cKDTree(np.array([[0.5, 0.5, 0.0]]), boxsize=[10.0, 10.0, 0.0])
    distances, _ = tree.query([[9.5, 0.5, 0.0], [0.5, 0.5, 90.0]])
    np.testing.assert_allclose(distances, [1.0, 90.0])
