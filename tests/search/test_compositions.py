"""Energies of compositions along a chemical potential, and what the archive keeps of them."""

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from gcd_hpc.config.campaign import BoundaryConfig
from gcd_hpc.search.archive import archive
from gcd_hpc.search.compositions import Envelope, MuRange, range_of_mu
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.composition import Chemistry
from gcd_hpc.structures.energetics import J_PER_M2

SLOPE = 0.25
"""Slope for each surplus atom of the made rows, J/m^2 per eV."""
RANGE = (-1.0, 1.5)
GRID = np.linspace(*RANGE, 5001)


def boundary(elements: tuple[str, ...], lattice: str) -> Bicrystal:
    config = BoundaryConfig(
        elements=elements, lattice=lattice, sigma=5, axis=(0, 0, 1), plane=(2, 1, 0)
    )
    return Bicrystal.build(config, 2.9)


COMPOUND = boundary(("Ni", "Al"), "b2")
ALLOY = boundary(("Ni", "Cu", "Ag"), "fcc")
NIAL = Chemistry((28, 13), (-5.2, -3.6), (-5.0, -3.8), (-4.5, -4.3), (-5.5, -3.3))
SOLUTES = Chemistry(
    (28, 29, 47),
    *((-4.4, -3.4, -2.5), (-4.4, -3.4, -2.5), (-4.4, -3.4, -2.5), (-4.4, -3.4, -2.5)),
)


class Rows:
    """Relaxed rows of several [n] and surpluses, all different structures."""

    def __init__(self, values: list[tuple[int, int, int]]):
        self.ids = [f"row-{number:02}" for number in range(len(values))]
        self.n_index = [n for n, _, _ in values]
        self.surplus = [f"Al{surplus:+d}" if surplus else "" for _, surplus, _ in values]
        self.slopes = np.array([SLOPE * surplus for _, surplus, _ in values])
        # In steps of 0.01 J/m^2, so that no two structures count as the same.
        self.energies = [1.0 + step / 100 for _, _, step in values]
        self.place = {row: place for place, row in enumerate(self.ids)}

    def envelopes(self, order: np.ndarray) -> dict[int, Envelope]:
        by_surplus = dict(zip(self.surplus, self.slopes.tolist(), strict=True))
        found = {}
        for number in sorted(set(self.n_index)):
            here = [int(row) for row in order if self.n_index[row] == number]
            columns = (
                [values[row] for row in here] for values in (self.ids, self.energies, self.surplus)
            )
            found[number] = Envelope.of(*columns, by_surplus, *RANGE)
        return found

    def archive(self, size: int, order: np.ndarray | None = None) -> dict[int, list[str]]:
        order = np.arange(len(self.ids)) if order is None else order
        return archive(
            [self.ids[row] for row in order],
            [self.n_index[row] for row in order],
            [self.energies[row] for row in order],
            lambda row: np.eye(len(self.ids))[self.place[row]],
            size,
            self.envelopes(order),
        )

    def lines(self, number: int) -> tuple[list[int], np.ndarray]:
        """Rows of an [n], and their energies (M, X) on the grid of the chemical potential."""
        here = [row for row, n in enumerate(self.n_index) if n == number]
        energies = np.array(self.energies)[here]
        return here, energies[:, None] + self.slopes[here][:, None] * GRID


rows = some.lists(
    some.tuples(some.integers(0, 2), some.integers(-5, 5), some.integers(0, 60)),
    min_size=1,
    max_size=40,
).map(Rows)


@given(rows=rows)
def test_the_lowest_structure_at_every_chemical_potential_of_a_grid_is_in_the_archive(rows: Rows):
    kept = rows.archive(2)
    for number, members in kept.items():
        _, lines = rows.lines(number)
        own = [rows.place[row] for row in members]
        assert {rows.n_index[row] for row in own} == {number}
        energies = np.array(rows.energies)[own, None] + rows.slopes[own][:, None] * GRID
        np.testing.assert_allclose(energies.min(axis=0), lines.min(axis=0), atol=1e-12)


@given(rows=rows)
def test_the_archive_holds_the_lowest_of_all_and_else_only_lines_that_touch_the_envelope(
    rows: Rows,
):
    kept, alone = rows.archive(2), {}
    for number, members in kept.items():
        here, lines = rows.lines(number)
        alone[number] = sorted(
            (rows.ids[row] for row in here), key=lambda row: (rows.energies[rows.place[row]], row)
        )[:2]
        assert set(alone[number]) <= set(members)
        envelope = lines.min(axis=0)
        for row in set(members) - set(alone[number]):
            gaps = lines[here.index(rows.place[row])] - envelope
            # A line may be the lowest between two values of the grid only.
            assert gaps.min() < 5 * SLOPE * (GRID[1] - GRID[0])
    assert len(kept) == len(set(rows.n_index))


@given(rows=rows, seed=some.integers(0, 1000))
def test_the_archive_of_compositions_does_not_depend_on_the_order_of_the_rows(rows: Rows, seed):
    order = np.random.default_rng(seed).permutation(len(rows.ids))
    assert rows.archive(2) == rows.archive(2, order)


def test_ranks_alternate_between_the_lowest_structures_and_the_others_of_the_envelope():
    rows = Rows([(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 0, 3), (0, 4, 30), (0, -4, 20), (0, 3, 60)])
    lowest, others = ["row-00", "row-01", "row-02"], ["row-05", "row-04"]
    assert rows.archive(3) == {
        0: [lowest[0], others[0], lowest[1], others[1], lowest[2]],
    }
    assert rows.archive(1) == {0: [lowest[0], others[0], others[1]]}


def test_one_composition_has_the_archive_of_one_element():
    values = [(n, 0, step) for n in range(3) for step in (5, 2, 9, 30, 4)]
    rows = Rows(values)
    plain = archive(
        rows.ids,
        rows.n_index,
        rows.energies,
        lambda row: np.eye(len(rows.ids))[rows.place[row]],
        3,
    )
    assert rows.archive(3) == plain


@given(rows=rows, surplus=some.integers(-6, 6))
def test_a_structure_reaches_the_envelope_with_the_highest_energy_that_is_lowest_somewhere(
    rows: Rows, surplus: int
):
    number = rows.n_index[0]
    _, lines = rows.lines(number)
    envelope = rows.envelopes(np.arange(len(rows.ids)))[number]
    reached = envelope.reaches(SLOPE * surplus)
    own = reached + SLOPE * surplus * GRID
    # It touches the envelope from above, between two values of the grid at the latest.
    gaps = own - lines.min(axis=0)
    assert gaps.min() > -1e-12
    assert gaps.min() < 11 * SLOPE * (GRID[1] - GRID[0])


def test_without_an_end_of_the_range_the_envelope_counts_up_to_its_last_change():
    envelope = Envelope.of(
        ["a", "b"], [1.0, 1.3], ["Cu+3", "Cu+1"], {"Cu+3": 0.3, "Cu+1": 0.1}, 0.0, inf
    )
    assert envelope.ids == ("a", "b")
    assert envelope.reaches(0.1) == pytest.approx(1.3)
    assert envelope.reaches(0.3) == pytest.approx(1.0)
    # Both are equal at x = 1.5 eV, where they have 1.45 J/m^2.
    assert envelope.reaches(0.2) == pytest.approx(1.45 - 0.2 * 1.5)
    assert envelope.reaches(0.0) == pytest.approx(1.45)


def test_the_range_of_a_compound_lies_between_its_pure_elements():
    found = range_of_mu(NIAL, COMPOUND)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((-4.3 + 3.8, -3.3 + 3.8))


def test_the_slope_of_a_compound_joins_its_energies_at_both_limits():
    """One atom of aluminium more is a surplus of one: E_gb A = E - mu_Al and the rest is fixed."""
    found = range_of_mu(NIAL, COMPOUND)
    assert isinstance(found, MuRange)
    each = J_PER_M2 / COMPOUND.area
    assert found.slope("Ni40Al40") == pytest.approx(0.0, abs=1e-12)
    assert found.slope("Ni40Al41") == pytest.approx(-each)
    # A nickel atom less changes with mu_Ni, which falls as mu_Al rises.
    assert found.slope("Ni39Al40") == pytest.approx(-each)
    assert found.slope("Ni42Al38") == pytest.approx(4 * each)


def test_solutes_are_lowered_together_from_the_campaigns_potential_on():
    found = range_of_mu(SOLUTES, ALLOY)
    assert found is not None
    assert (found.low, found.high) == (0.0, inf)
    each = J_PER_M2 / ALLOY.area
    assert found.slope("Ni80") == 0.0
    assert found.slope("Ni76Cu3Ag1") == pytest.approx(4 * each)


@pytest.mark.parametrize(
    "chemistry",
    [
        None,
        Chemistry((28, 13), (-5.2, -3.6), (-5.0, -3.8), (-5.0, -3.8), (-5.0, -3.8)),
        Chemistry((28, 13), (-5.2, -3.6), (-5.0, -3.8), (-5.5, -3.3), (-4.5, -4.3)),
    ],
)
def test_a_compound_without_limits_or_less_stable_than_its_elements_has_no_range(chemistry):
    assert range_of_mu(chemistry, COMPOUND) is None
