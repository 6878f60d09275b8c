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
from gcd_hpc.structures.composition import atoms_beyond_ends, formula, surplus
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
