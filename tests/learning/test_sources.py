"""One model learns from several boundaries, whose samples have different shapes."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from gcd_hpc.errors import StructureError
from gcd_hpc.learning.batches import FIT, VALIDATE
from gcd_hpc.learning.conditions import ConditionScale, Units, relative_std
from gcd_hpc.learning.sources import shared_elements
from gcd_hpc.learning.training import (
    BoundaryTraining,
    Process,
    measured_units,
    model_card,
    training_batches,
)
from gcd_hpc.voxels.channels import Channels
from tests.learning.made import OVERRIDES, made_source

pytestmark = pytest.mark.lammps  # the potential files are among those that LAMMPS ships
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sources():
    return [made_source(name) for name in OVERRIDES]


@pytest.fixture(scope="module")
def batches(sources):
    return training_batches(sources, measured_units(sources), 1)


def shape_of(batch):
    return tuple(batch.clean.shape[2:])


def test_all_samples_of_a_step_are_of_one_boundary_and_every_boundary_is_drawn_equally_often(
    sources, batches
):
    fit, _ = batches
    shapes = {source.system.grid.shape: source for source in sources}
    assert len(shapes) == 3
    drawn = Counter()
    for step in range(300):
        batch = fit.batch(FIT, step, range(1), 2)
        drawn[shape_of(batch)] += 1
        assert batch.num_known == shapes[shape_of(batch)].system.num_known
    # Standard deviation of each number: sqrt(300 x 1/3 x 2/3) = 8.
    assert set(drawn) == set(shapes)
    assert all(70 < num < 130 for num in drawn.values())


def test_a_boundary_with_many_structures_is_not_drawn_more_often_than_one_with_few(sources):
    few = replace(sources[0], structures=sources[0].structures[:2])
    fit, _ = training_batches([few, sources[1]], Units(0.1, None, 0.1), 1)
    shapes = Counter(shape_of(fit.batch(FIT, step, range(1), 2)) for step in range(200))
    # Standard deviation: sqrt(200) / 2 = 7.
    assert abs(shapes[few.system.grid.shape] - 100) < 28


def test_the_parts_of_a_step_have_one_shape_and_are_those_of_the_whole_step(batches):
    fit, _ = batches
    for step in range(6):
        whole = fit.batch(FIT, step, range(4), 4)
        halves = [fit.batch(FIT, step, slots, 4) for slots in (range(2), range(2, 4))]
        for name in ("clean", "noise", "time", "condition", "has_condition"):
            both = torch.cat([getattr(half, name) for half in halves])
            assert torch.equal(getattr(whole, name), both), name


def test_the_lowest_energy_of_each_boundary_is_told_as_zero_and_others_as_relative_excess():
    first = made_source("w_sigma5", (2.0, 2.2, 2.4))
    second = made_source("cu_sigma5", (1.0, 1.1, 1.2))
    units = measured_units([first, second])
    assert units.of_one is None
    scales = [units.conditions(source.lowest) for source in (first, second)]
    told = [
        [scale(energy, 0.0)[0] for energy in source.energies]
        for source, scale in zip((first, second), scales, strict=True)
    ]
    assert told[0][0] == told[1][0] == 0.0
    # Twice the energies are the same relative excess, to float32.
    assert np.allclose(told[0], told[1], rtol=1e-6)
    assert np.sqrt(np.mean(np.square(told))) == pytest.approx(1.0, rel=1e-6)


def test_conditions_of_the_structures_held_out_count_from_the_lowest_of_all(sources):
    fit, held = training_batches(sources, measured_units(sources), 1)
    assert fit.conditions == held.conditions
    for source, scale in zip(sources, fit.conditions, strict=True):
        assert scale.lowest_j_m2 == source.lowest


def test_the_lowest_energy_of_each_n_is_told_as_zero_and_an_unknown_n_counts_from_the_nearest():
    scale = Units(0.1, None, 0.2).conditions({0.0: 1.0, 0.4: 1.5})
    assert scale(1.0, 0.0)[0] == scale(1.5, 0.4)[0] == scale(1.5, 0.5)[0] == 0.0
    # 0.2 of the boundary's lowest energy is the unit at every [n].
    assert scale(1.7, 0.4)[0] == pytest.approx(1.0, rel=1e-6)
    # [n] is periodic: 0.9 is nearer to 0 than to 0.4.
    assert scale(1.0, 0.9)[0] == 0.0


def test_the_unit_of_energy_does_not_depend_on_how_far_apart_the_lowest_of_each_n_are():
    near = [np.array([1.0, 1.1]), np.array([1.0, 1.1])]
    apart = [np.array([1.0, 1.1]), np.array([2.0, 2.1])]
    assert relative_std([near]) == pytest.approx(relative_std([apart]), rel=1e-12)


def test_a_coherent_twin_does_not_blow_up_the_unit_of_energy():
    ordinary = [np.array([1.0, 1.1, 1.2])]
    twin = [np.array([0.02, 0.3])]
    assert relative_std([ordinary, twin]) < 1.1
    assert Units(0.1, None, 0.2).conditions({0.0: 0.02}).std_j_m2 == pytest.approx(0.04)


def test_of_a_boundary_of_which_nothing_is_known_the_lowest_energy_is_asked_for():
    scale = Units(0.1, None, 0.2).conditions({})
    for energy in (float("nan"), 2.0):
        assert np.allclose(scale(energy, 0.25), [0, 0, 1], atol=1e-6)


def test_the_model_of_one_boundary_keeps_the_mean_and_the_deviation_of_its_energies():
    source = made_source("w_sigma5", (2.0, 2.2, 2.4))
    units = measured_units([source])
    assert units.relative_std is None
    assert units.of_one == ConditionScale.fit([2.0, 2.2, 2.4])
    assert units.conditions({0.0: 17.0}) == units.of_one


def test_the_hold_out_loss_is_stated_for_each_boundary_and_its_mean_for_the_model(sources):
    units = measured_units(sources)
    fit, held = training_batches(sources, units, 1)
    state = BoundaryTraining(fit, held, Process(CPU), 2)
    list(state.trainer.steps(2))
    state.validate()
    card = model_card(state, sources, units, 1)
    assert list(card.hold_out) == list(OVERRIDES)
    assert len(set(card.hold_out.values())) == 3
    assert card.validation_loss == pytest.approx(np.mean(list(card.hold_out.values())))
    assert card.elements == ()
    assert card.num_structures == 18
    assert [one.elements for one in card.boundaries] == [("W",), ("Cu",), ("W",)]
    assert card.boundaries[1].boundary.startswith("Sigma 5 symmetric tilt, 53.13 degrees")
    # Validation asks for the batches of one boundary, and gets them.
    for index, source in enumerate(sources):
        batch = held.batch(VALIDATE, 0, range(2), 2, index)
        assert shape_of(batch) == source.system.grid.shape


def test_compounds_of_other_elements_are_refused_by_their_names(sources, monkeypatch):
    channels = iter([Channels.of(["Ni", "Al"]), Channels.of(["Ni", "Cu"])])
    monkeypatch.setattr("gcd_hpc.learning.boundary.Channels.of", lambda _: next(channels))
    with pytest.raises(StructureError, match=r"channels differ \(Al-Ni, Ni-Cu\)"):
        shared_elements(sources[:2])
