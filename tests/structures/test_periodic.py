import numpy as np
import pytest
from ase.geometry import find_mic, wrap_positions
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from gcd_hpc.structures.periodic import (
    Neighbors,
    area,
    cartesian,
    edges_and_tilt,
    fractional,
    images,
    minimum_image,
    shortest_vectors,
    wrap,
)

LENGTHS = np.array([10.008131290506235, 7.5, 50.04])
EACH_AXIS = [(True, True, True), (True, True, False), (False, True, False)]


@pytest.fixture
def positions() -> np.ndarray:
    return np.random.default_rng(0).uniform(-3.0, 3.0, (1000, 3)) * LENGTHS


@pytest.mark.parametrize("periodic", EACH_AXIS)
def test_positions_and_vectors_are_those_of_ase(positions, periodic):
    """To rounding: ASE goes by fractions of the cell."""
    cell = np.diag(LENGTHS)
    expected = wrap_positions(positions, cell, periodic, eps=0.0)
    assert np.allclose(wrap(positions, LENGTHS, periodic), expected, atol=1e-12)
    expected, _ = find_mic(positions, cell, periodic)
    assert np.allclose(minimum_image(positions, LENGTHS, periodic), expected, atol=1e-12)


def test_a_position_just_below_the_box_does_not_become_its_length():
    """The remainder of -1e-17 is the length itself, which a periodic tree refuses."""
    assert wrap([[-1e-17, 7.5, 60.0]], LENGTHS[:2]).tolist() == [[0.0, 0.0, 60.0]]


def test_further_coordinates_and_the_argument_stay(positions):
    before = positions.copy()
    assert np.array_equal(wrap(positions, LENGTHS[:2])[:, 2], before[:, 2])
    assert np.array_equal(minimum_image(positions, LENGTHS[:1])[:, 1:], before[:, 1:])
    assert np.array_equal(positions, before)


def test_an_open_axis_may_have_no_length(positions):
    lengths, periodic = (10.0, 7.5, 0.0), (True, True, False)
    assert np.array_equal(wrap(positions, lengths, periodic)[:, 2], positions[:, 2])
    assert np.array_equal(minimum_image(positions, lengths, periodic)[:, 2], positions[:, 2])


@given(st.floats(-1e6, 1e6), st.floats(0.1, 1e3))
def test_every_position_ends_in_the_box_and_every_vector_within_half_of_it(x, length):
    assert 0.0 <= wrap([[x]], [length]).item() < length
    # A relative rounding of 1e-16 for each of the boxes crossed.
    assert abs(minimum_image([[x]], [length]).item()) <= 0.5 * length + 1e-9


LEANING = st.tuples(st.floats(2.0, 20.0), st.floats(-0.5, 0.5), st.floats(2.0, 20.0)).map(
    lambda one: np.array([[one[0], 0.0], [one[1] * one[0], one[2]]])
)
"""In-plane cells [[ax, 0], [bx, by]] with |bx| <= ax / 2, right-angled ones among them."""
SEEDS = st.integers(0, 2**32 - 1)


def scattered(cell: np.ndarray, seed: int, number: int) -> np.ndarray:
    """Points in a cell and up to three cells away from it, (N, 3) Å."""
    fractions = np.random.default_rng(seed).uniform(-3.0, 3.0, (number, 2))
    heights = np.random.default_rng(seed).uniform(0.0, 5.0, number)
    return np.column_stack([cartesian(fractions, cell), heights])


def apart(first: np.ndarray, second: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Distances (N, M) of all points, the nearest of 15 x 15 images of each: by brute force."""
    steps = np.stack(np.meshgrid(*[np.arange(-7, 8)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    offsets = np.pad(cartesian(steps, cell), ((0, 0), (0, 1)))
    return np.min([cdist(first + one, second) for one in offsets], axis=0)


@given(LEANING, SEEDS)
def test_shortest_images_in_leaning_cells_are_those_of_ase_and_brute_force(cell, seed):
    vectors = scattered(cell, seed, 20)
    found = minimum_image(vectors, cell)
    whole = np.pad(cell, ((0, 1), (0, 1)))
    _, lengths = find_mic(vectors, whole, (True, True, False))
    # Vectors half a period long have two shortest images, so that only their lengths are unique.
    assert np.allclose(np.linalg.norm(found, axis=1), lengths, atol=1e-9)
    brute = apart(wrap(vectors, cell), np.zeros((1, 3)), cell)[:, 0]
    assert np.allclose(np.linalg.norm(found, axis=1), brute, atol=1e-9)
    steps = fractional((found - vectors)[:, :2], cell)
    assert np.allclose(steps, np.rint(steps), atol=1e-9)
    assert np.array_equal(found[:, 2], vectors[:, 2])


@given(LEANING, SEEDS)
def test_folded_positions_lie_in_the_cell_and_are_folded_only_once(cell, seed):
    given_positions = scattered(cell, seed, 20)
    folded = wrap(given_positions, cell)
    fractions = fractional(folded[:, :2], cell)
    assert (fractions > -1e-12).all()
    assert (fractions < 1 + 1e-12).all()
    steps = fractional((folded - given_positions)[:, :2], cell)
    assert np.allclose(steps, np.rint(steps), atol=1e-9)
    assert np.array_equal(wrap(folded, cell), folded)


@given(LEANING, st.floats(-1e-15, 1e-15), st.integers(-3, 3), st.integers(-3, 3))
def test_lattice_points_fold_once_although_rounding_puts_them_beside_the_origin(cell, off, i, j):
    folded = wrap(np.append(np.array([i, j]) @ cell + off, 0.0), cell)
    assert np.array_equal(wrap(folded, cell), folded)


@given(LEANING, SEEDS, st.integers(1, 30))
def test_nearest_points_and_close_pairs_are_those_of_brute_force(cell, seed, number):
    points, places = scattered(cell, seed, number), scattered(cell, seed + 1, 10)
    neighbors = Neighbors(points, cell)
    expected = apart(wrap(places, cell), wrap(points, cell), cell)
    distances, index = neighbors.nearest(places)
    assert np.allclose(distances, expected.min(axis=1), atol=1e-9)
    assert np.allclose(expected[np.arange(10), index], distances, atol=1e-9)

    limit = float(np.median(expected))
    limited, index = neighbors.nearest(places, limit)
    assert np.array_equal(np.isinf(limited), index == number)
    assert np.allclose(np.where(distances < limit, distances, np.inf), limited)

    among = apart(wrap(points, cell), wrap(points, cell), cell)
    first, second = np.nonzero(np.triu(among <= limit, k=1))
    assert sorted(map(tuple, neighbors.pairs(limit).tolist())) == sorted(
        zip(first.tolist(), second.tolist(), strict=True)
    )
    own_image = float(np.linalg.norm(shortest_vectors(cell)[0]))
    pairs = among[np.triu_indices(number, k=1)]
    assert neighbors.closest() == pytest.approx(min(pairs.min(initial=np.inf), own_image))


@given(LEANING, SEEDS, st.floats(0.5, 25.0))
def test_all_images_within_the_margin_are_there_once(cell, seed, margin):
    points = wrap(scattered(cell, seed, 3), cell)
    around, source = images(points, cell, margin)
    steps = fractional((around - points[source])[:, :2], cell)
    assert np.allclose(steps, np.rint(steps), atol=1e-9)
    keys = {
        (one, *pair) for one, pair in zip(source.tolist(), np.rint(steps).tolist(), strict=True)
    }
    assert len(keys) == len(around)
    # Every image within the margin of a point of the cell is among them.
    for place in wrap(scattered(cell, seed + 1, 3), cell):
        reach = np.arange(-40, 41)
        every = np.stack(np.meshgrid(reach, reach, indexing="ij"), axis=-1).reshape(-1, 2) @ cell
        flat = (points[:, None, :2] + every - place[:2]).reshape(-1, 2)
        expected = int((np.linalg.norm(flat, axis=1) < margin).sum())
        assert (np.linalg.norm(around[:, :2] - place[:2], axis=1) < margin).sum() == expected


@given(st.floats(2.0, 20.0), st.floats(2.0, 20.0), SEEDS)
def test_a_cell_of_right_angles_gives_the_same_bits_in_both_forms(x, y, seed):
    lengths, cell = np.array([x, y]), np.array([[x, 0.0], [0.0, y]])
    points = scattered(cell, seed, 10)
    for function in (wrap, minimum_image):
        assert function(points, cell).tobytes() == function(points, lengths).tobytes()
    inside = wrap(points, lengths)
    for one, two in zip(images(inside, cell, 3.0), images(inside, lengths, 3.0), strict=True):
        assert one.tobytes() == two.tobytes()
    tree = cKDTree(inside, boxsize=[x, y, 0.0])
    for form in (lengths, cell):
        expected, found = tree.query(points + 0.1), Neighbors(points, form).nearest(points + 0.1)
        assert found[0].tobytes() == expected[0].tobytes()
        assert found[1].tobytes() == expected[1].tobytes()


@pytest.mark.parametrize("wrong", [np.ones((3, 3)), [[1.0, 0.2], [0.0, 1.0]], [[1, 0], [0.5, -1]]])
def test_cells_that_lean_otherwise_are_refused(wrong: ArrayLike):
    with pytest.raises(ValueError, match="rows of a cell must be"):
        edges_and_tilt(wrong)


def test_a_leaning_cell_must_be_periodic_in_its_plane():
    with pytest.raises(ValueError, match="periodic along both"):
        wrap([[0.0, 0.0, 0.0]], [[2.0, 0.0], [1.0, 2.0]], (True, False))


def test_the_third_axis_of_a_leaning_cell_may_be_periodic():
    cell = np.array([[4.0, 0.0, 0.0], [1.5, 3.0, 0.0], [0.0, 0.0, 5.0]])
    points = scattered(cell[:2, :2], 0, 50) * [1.0, 1.0, 3.0]
    assert area(cell) == 12.0
    expected, _ = find_mic(points, cell)
    assert np.allclose(minimum_image(points, cell), expected, atol=1e-12)
    distances, _ = Neighbors(points[:40], cell).nearest(points[40:])
    brute = [find_mic(points[:40] - one, cell)[1].min() for one in points[40:]]
    assert np.allclose(distances, brute, atol=1e-12)
