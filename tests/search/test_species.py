"""Moves and parents with atoms of several elements, on NiAl and on a dilute alloy."""

from collections import Counter

import numpy as np
import pytest

from gcd_hpc.config.campaign import BoundaryConfig
from gcd_hpc.config.explore import ExploreConfig
from gcd_hpc.errors import StructureError
from gcd_hpc.search.moves import Proposal, local_moves
from gcd_hpc.search.windows import Parent, draw_window, recentred
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.composition import (
    atoms_beyond_ends,
    element_fractions,
    formula,
    surplus,
)
from gcd_hpc.structures.fingerprint import distance, fingerprint
from gcd_hpc.structures.frame import Frame

NI, AL = 28, 13
BICRYSTAL = Bicrystal.build(
    BoundaryConfig(
        elements=("Ni", "Al"),
        lattice="b2",
        sigma=5,
        axis=(0, 0, 1),
        plane=(2, 1, 0),
        replicas=(3, 1),
    ),
    2.86,
)
FRAME = Frame.build(BICRYSTAL, (27.0, 27.0), 70.0)
REGISTRY = np.array([0.0, 0.0, 0.3])


def parent() -> Parent:
    atoms = FRAME.join(REGISTRY)
    near = np.abs(atoms.positions[:, 2] - FRAME.centre) < 3.0
    return Parent(atoms.positions, np.where(near, 0.3, 0.0), REGISTRY, atoms.numbers)


def moved(name: str, seed: int) -> tuple[Parent, Proposal]:
    rng, one = np.random.default_rng(seed), parent()
    window = draw_window(one, FRAME, ExploreConfig(), rng)
    return one, local_moves(2)[name](one, FRAME, window, rng)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("name", "changes"),
    [("remove", -1), ("insert", 1), ("exchange", 0), ("shake", 0), ("swap", 0), ("transmute", 0)],
)
def test_moves_change_the_number_of_atoms_as_they_say_and_keep_species_with_their_atoms(
    name: str, changes: int, seed: int
):
    before, proposal = moved(name, seed)
    assert before.species is not None and proposal.species is not None
    assert len(proposal.species) == len(proposal.positions) == len(before.positions) + changes
    old, new = Counter(before.species.tolist()), Counter(proposal.species.tolist())
    if name in ("exchange", "shake", "swap"):
        assert old == new
    if name == "transmute":
        assert abs(new[NI] - old[NI]) == 1
    # Atoms that did not move are of the same element, except where a move changes elements.
    kept = [tuple(one) for one in before.positions.tolist()]
    places = {place: number for place, number in zip(kept, before.species.tolist(), strict=True)}
    still = [
        places[tuple(place)] == number
        for place, number in zip(
            proposal.positions.tolist(), proposal.species.tolist(), strict=True
        )
        if tuple(place) in places
    ]
    assert still.count(False) == {"swap": 2, "transmute": 1}.get(name, 0)


def test_moves_of_species_leave_all_positions_bit_for_bit():
    for name in ("swap", "transmute"):
        before, proposal = moved(name, 0)
        assert np.array_equal(before.positions, proposal.positions)


def test_one_element_has_no_moves_of_species():
    assert list(local_moves(1)) == ["remove", "insert", "exchange", "shake", "shift"]
    assert list(local_moves(2))[5:] == ["swap", "transmute"]


def test_a_slab_of_one_element_has_nothing_to_swap():
    rng, one = np.random.default_rng(0), parent()
    pure = Parent(one.positions, one.excess_ev, one.registry, np.full(len(one.positions), NI))
    window = draw_window(pure, FRAME, ExploreConfig(), rng)
    with pytest.raises(StructureError, match="cannot swap two elements: all atoms within"):
        local_moves(2)["swap"](pure, FRAME, window, rng)


def test_a_slab_filled_up_to_the_frame_has_the_crystals_elements():
    whole = parent()
    # The lowest planes are cut off; recentring adds them again.
    kept = whole.positions[:, 2] > FRAME.bottom + 4 * BICRYSTAL.plane_spacing - 0.1
    assert whole.species is not None
    cut = Parent(whole.positions[kept], whole.excess_ev[kept], whole.registry, whole.species[kept])
    filled = recentred(cut, FRAME)
    assert filled.species is not None
    order = [np.lexsort(one.positions.round(6).T) for one in (whole, filled)]
    assert np.array_equal(whole.species[order[0]], filled.species[order[1]])


def test_outer_layers_with_another_element_than_the_crystals_are_refused():
    whole = parent()
    assert whole.species is not None
    species = whole.species.copy()
    place = int(np.argmin(np.abs(whole.positions[:, 2] - FRAME.bottom - 9.0)))
    species[place] = AL if species[place] == NI else NI
    kept = whole.positions[:, 2] > FRAME.bottom + 4 * BICRYSTAL.plane_spacing - 0.1
    cut = Parent(whole.positions[kept], whole.excess_ev[kept], whole.registry, species[kept])
    with pytest.raises(StructureError, match="atoms of other elements than the crystal"):
        recentred(cut, FRAME)


def test_the_surplus_counts_what_the_ratio_does_not_explain():
    numbers = FRAME.join(REGISTRY).numbers
    assert formula(numbers, (NI, AL)) == f"Ni{len(numbers) // 2}Al{len(numbers) // 2}"
    assert surplus(BICRYSTAL, numbers, (NI, AL)) == ""
    changed = numbers.copy()
    changed[np.flatnonzero(numbers == NI)[:2]] = AL
    assert surplus(BICRYSTAL, changed, (NI, AL)) == "Al+4"
    extra = atoms_beyond_ends(BICRYSTAL, numbers)
    assert extra[NI] == pytest.approx(extra[AL])


@pytest.mark.parametrize(("lattice", "ratio"), [("b2", (1, 1)), ("l12", (3, 1))])
def test_n_of_each_element_and_surplus_tell_whether_whole_planes_lie_between_two_compositions(
    lattice: str, ratio: tuple[int, int]
):
    """All numbers of atoms in a range are compared with those from m planes more or fewer."""
    config = BoundaryConfig(
        elements=("Ni", "Al"), lattice=lattice, sigma=5, axis=(0, 0, 1), plane=(2, 1, 0)
    )
    bicrystal = Bicrystal.build(config, 2.86)
    basis = bicrystal.lower.crystal.numbers
    points = bicrystal.atoms_per_plane // len(basis)
    plane = np.array(ratio) * points
    whole = np.array([30, 30]) * ratio

    def invariants(nickel: int, aluminium: int) -> tuple[dict[int, float], str]:
        fractions = element_fractions({NI: nickel, AL: aluminium}, basis, bicrystal.atoms_per_plane)
        return fractions, surplus(bicrystal, np.repeat([NI, AL], [nickel, aluminium]), (NI, AL))

    wanted = invariants(*whole.tolist())
    equal = {
        (nickel, aluminium)
        for nickel in range(whole[0] - 12, whole[0] + 13)
        for aluminium in range(whole[1] - 12, whole[1] + 13)
        if invariants(nickel, aluminium) == wanted
    }
    planes = [tuple((whole + num * plane).tolist()) for num in range(-12, 13)]
    assert equal == {one for one in planes if abs(np.array(one) - whole).max() <= 12}
    assert len(equal) > 1


def test_whole_planes_at_the_ends_of_a_slab_leave_the_n_of_each_element():
    basis, num_plane = BICRYSTAL.lower.crystal.numbers, BICRYSTAL.atoms_per_plane
    numbers = FRAME.join(REGISTRY).numbers
    higher = Frame.build(BICRYSTAL, (27.0, 27.0 + BICRYSTAL.plane_spacing), 80.0)
    more = higher.join(REGISTRY).numbers
    assert len(more) == len(numbers) + num_plane
    fractions = [
        element_fractions(dict(Counter(one.tolist())), basis, num_plane) for one in (numbers, more)
    ]
    assert fractions[0] == fractions[1]
    without = numbers[np.arange(len(numbers)) != np.flatnonzero(numbers == NI)[0]]
    fewer = element_fractions(dict(Counter(without.tolist())), basis, num_plane)
    assert fewer[AL] == fractions[0][AL]
    assert round((fractions[0][NI] - fewer[NI]) * num_plane / 2) % (num_plane // 2) == 1


def test_an_antisite_has_another_fingerprint():
    atoms = FRAME.join(REGISTRY)
    weights = (np.abs(atoms.positions[:, 2] - FRAME.centre) < 4.0).astype(float)
    kinds = (atoms.numbers == AL).astype(int)
    other = kinds.copy()
    place = int(np.argmin(np.abs(atoms.positions[:, 2] - FRAME.centre)))
    other[place] = 1 - other[place]
    marks = [
        fingerprint(atoms.positions, FRAME.cell, weights, BICRYSTAL.nearest_neighbor, one, 2)
        for one in (kinds, other)
    ]
    assert marks[0].shape == (256,)
    assert distance(*marks) > 0.01
