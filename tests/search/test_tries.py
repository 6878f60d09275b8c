"""Starts of the grand canonical search, docs/science.md#d4."""

from collections import Counter

import numpy as np
import pytest

from gcd_hpc.config.campaign import BoundaryConfig
from gcd_hpc.config.simulation import (
    MolecularDynamicsConfig,
    SearchConfig,
    SearchDynamicsConfig,
)
from gcd_hpc.search.tries import random_anneal, search_start
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import Frame
from tests.structures.boundaries import UNLIKE_PLANES

CALM = SearchConfig(num_tries=1, perturbation=0.0)
SHAKEN = SearchConfig(num_tries=1, perturbation=0.3)


def test_the_same_stream_gives_the_same_start(frame: Frame):
    one, two = (search_start(frame, SHAKEN, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one[0].positions, two[0].positions)
    np.testing.assert_array_equal(one[1], two[1])


ALLOY = Frame.build(
    Bicrystal.build(
        BoundaryConfig(
            elements=("Ni", "Cu", "Ag"), lattice="fcc", sigma=5, axis=(0, 0, 1), plane=(2, 1, 0)
        ),
        3.52,
    ),
    (27.0, 27.0),
    70.0,
)
NI, CU, AG = 28, 29, 47


def test_all_numbers_of_a_solute_between_its_limits_are_equally_likely():
    config = SearchConfig(num_tries=1, solutes={"Cu": (1, 4), "Ag": (2, 2)})
    rng = np.random.default_rng(0)
    found = [search_start(ALLOY, config, rng)[0].numbers for _ in range(400)]
    counts = Counter(int((numbers == CU).sum()) for numbers in found)
    assert sorted(counts) == [1, 2, 3, 4]
    # 100 each, 8.7 is the standard deviation.
    assert all(abs(count - 100) < 35 for count in counts.values())
    assert {int((numbers == AG).sum()) for numbers in found} == {2}


def test_solutes_take_the_places_of_atoms_near_the_boundary_on_both_sides():
    config = SearchConfig(num_tries=1, solutes={"Cu": (3, 3)})
    rng = np.random.default_rng(1)
    depths = []
    for _ in range(200):
        atoms, _, _ = search_start(ALLOY, config, rng)
        heights = atoms.positions[:, 2]
        depths += (heights[atoms.numbers == CU] - ALLOY.centre).tolist()
        assert set(atoms.numbers.tolist()) == {NI, CU}
    # The upper grain begins up to a plane higher, and atoms are displaced by up to 0.3 Å.
    reach = 5.5 + ALLOY.bicrystal.plane_spacing + 0.3
    assert -reach < min(depths) < -3.0 and 3.0 < max(depths) < reach


def test_solutes_leave_positions_and_registry_as_they_are_without_them():
    plain = search_start(ALLOY, SHAKEN, np.random.default_rng(5))
    config = SearchConfig(num_tries=1, perturbation=0.3, solutes={"Cu": (6, 6)})
    alloyed = search_start(ALLOY, config, np.random.default_rng(5))
    np.testing.assert_array_equal(plain[0].positions, alloyed[0].positions)
    np.testing.assert_array_equal(plain[1], alloyed[1])
    assert set(plain[0].numbers.tolist()) == {NI}


def test_more_solutes_than_sites_fill_all_sites():
    config = SearchConfig(num_tries=1, solutes={"Cu": (900, 900), "Ag": (1, 1)})
    atoms, _, _ = search_start(ALLOY, config, np.random.default_rng(0))
    assert 20 < (atoms.numbers == CU).sum() < len(atoms) // 2
    assert not (atoms.numbers == AG).any()


def test_all_numbers_of_removed_atoms_are_equally_likely(frame: Frame):
    full, plane = len(frame.join((0.0, 0.0, 0.0))), frame.bicrystal.atoms_per_plane
    rng = np.random.default_rng(0)
    removed = Counter(full - len(search_start(frame, CALM, rng)[0]) for _ in range(500))
    assert sorted(removed) == list(range(plane))
    assert min(removed.values()) > 25, "50 each expected, 3.7 standard deviations"


def test_atoms_are_removed_next_to_the_boundary_only(frame: Frame):
    rng = np.random.default_rng(0)
    grains = set()
    for _ in range(40):
        atoms, registry, _ = search_start(frame, CALM, rng)
        perfect = frame.join(registry)
        _, gaps = frame_distances(frame, perfect.positions, atoms.positions)
        missing = perfect.positions[gaps > 1e-6, 2]
        assert len(atoms) == len(perfect) - len(missing)
        grains |= set(np.sign(missing - frame.centre + 1e-9))
        assert (
            np.abs(missing - frame.centre) <= frame.bicrystal.plane_spacing + registry[2] + 1e-6
        ).all()
    assert grains == {-1.0, 1.0}, "either grain gives atoms"


def test_only_atoms_near_the_boundary_are_shaken_and_by_no_more_than_asked(frame: Frame):
    rng = np.random.default_rng(1)
    largest = 0.0
    for _ in range(20):
        atoms, registry, _ = search_start(frame, SHAKEN, rng)
        moves, gaps = frame_distances(frame, atoms.positions, frame.join(registry).positions)
        assert np.abs(moves).max() <= 0.3 + 1e-9
        shaken = atoms.positions[gaps > 1e-9, 2]
        assert (
            np.abs(shaken - frame.centre).max()
            < frame.bicrystal.nearest_neighbor + frame.bicrystal.plane_spacing + 0.3
        )
        largest = max(largest, np.abs(moves).max())
    assert largest > 0.29


def test_the_grains_lie_in_the_registry_that_is_returned(frame: Frame):
    atoms, registry, _ = search_start(frame, SHAKEN, np.random.default_rng(2))
    top = frame.upper(registry, frame.centre + 8.0)
    _, gaps = frame_distances(frame, top, atoms.positions)
    assert gaps.max() < 1e-9


def test_annealing_lies_within_its_bounds_and_each_has_its_own_seed():
    config = MolecularDynamicsConfig(
        temperature_k=(1000.0, 2000.0), num_steps=(100, 10_000), cooled_to=0.3
    )
    rng = np.random.default_rng(0)
    anneals = [random_anneal(config, rng) for _ in range(500)]
    assert all(
        1000 <= anneal.temperature_k <= 2000 and 100 <= anneal.num_steps <= 10_000
        for anneal in anneals
    )
    assert np.median([anneal.num_steps for anneal in anneals]) == pytest.approx(1000, rel=0.3), (
        "log-uniform"
    )
    assert len({anneal.seed for anneal in anneals}) == len(anneals)
    assert {anneal.cooled_to for anneal in anneals} == {0.3}


@pytest.mark.parametrize(("probability", "least", "most"), [(0.0, 0, 0), (0.25, 85, 165)])
def test_tries_are_annealed_with_the_probability_of_the_search(
    frame: Frame, probability: float, least: int, most: int
):
    md = SearchDynamicsConfig(probability=probability)
    config = CALM.model_copy(update={"md": md})
    rng = np.random.default_rng(0)
    anneals = [search_start(frame, config, rng)[2] for _ in range(500)]
    # Four standard deviations about 125.
    assert least <= sum(anneal is not None for anneal in anneals) <= most


def frame_distances(
    frame: Frame, positions: np.ndarray, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each position the vector (N, 3) from, and the distance (N,) to, the nearest of the others
    in the periodic cell.
    """
    offsets = positions[:, None] - others  # (N, M, 3)
    offsets[..., :2] -= np.rint(offsets[..., :2] / np.diag(frame.bicrystal.cell)) * np.diag(
        frame.bicrystal.cell
    )
    distances = np.linalg.norm(offsets, axis=2)
    nearest = distances.argmin(axis=1)
    rows = np.arange(len(positions))
    return offsets[rows, nearest], distances[rows, nearest]


def test_the_upper_grain_gives_up_to_one_plane_of_its_own_less_one_atom():
    """Cu Sigma5 (100)||(430): 10 atoms in a plane below, 2 above."""
    frame = Frame.build(UNLIKE_PLANES, (20.0, 20.0), 60.0)
    full, rng = len(frame.join((0.0, 0.0, 0.0))), np.random.default_rng(0)
    removed = Counter(full - len(search_start(frame, CALM, rng)[0]) for _ in range(400))
    assert sorted(removed) == list(range(10))
    assert removed[0] == pytest.approx(120, abs=45), "a tenth of 200 and half of 200, 4 deviations"
    assert removed[1] == pytest.approx(120, abs=45)
