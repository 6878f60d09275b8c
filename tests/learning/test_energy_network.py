"""The energy model learns the relaxed energies of rows, states its spread, and keeps its units."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from gcd_hpc.config.learning import AtomicConfig, EnergyModelConfig, NetworkConfig
from gcd_hpc.errors import CheckpointError, StoreError
from gcd_hpc.learning.assembly import known_mask
from gcd_hpc.learning.energy_network import LEVELS, EnergyModel
from gcd_hpc.learning.energy_training import (
    energy_rows,
    fitted_model,
    local_energies,
    train_energy_model,
    usable,
    within_n,
    without_some_n,
)
from gcd_hpc.learning.sources import TrainingSource
from gcd_hpc.structures.energetics import gb_energy
from tests.learning.made import made_source

pytestmark = pytest.mark.lammps  # the potential file is among those that LAMMPS ships
SMALL = EnergyModelConfig(
    network=NetworkConfig(width=4, num_levels=2, num_blocks=1, context=4),
    num_steps=6,
    batch_size=2,
    atoms=AtomicConfig(width=8, num_steps=6, batch_size=4),
)


@pytest.fixture(scope="module")
def source():
    """Rows whose excess energy grows with the gap between the grains, in an atom of the middle."""
    made = made_source("w_sigma5", num=8)
    rows = []
    for number, row in enumerate(made.structures):
        energies = row.energies_ev.copy()
        middle = int(np.argmin(np.abs(row.positions[:, 2] - made.system.frame.centre)))
        energies[middle] += 10.0 + row.registry[2]
        energy = gb_energy(energies.sum(), len(energies), made.system.bulk.cohesive_ev, row.area_a2)
        n_index = number % 4
        rows.append(replace(row, gb_energy_j_m2=energy, energies_ev=energies, n_index=n_index))
    return TrainingSource(made.system, usable(rows, made.system), made.name)


@pytest.fixture(scope="module")
def model(source):
    return train_energy_model([source], SMALL, seed=1)


def test_the_local_energies_of_a_row_sum_to_its_boundary_energy(source):
    row = source.structures[0]
    field = local_energies(source.system, row, row.unrelaxed_positions)
    # Voxels are float32.
    assert float(field.sum()) == pytest.approx(row.gb_energy_j_m2, rel=1e-5)


def test_a_row_of_a_batch_is_the_same_whatever_was_drawn_before(source):
    rows = energy_rows([source], SMALL)
    _, first = rows.batch(3, 5)
    rows.batch(3, 4)
    _, again = rows.batch(3, 5)
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.array, other.array)
        assert (one.log_snr, one.energy_j_m2) == (other.log_snr, other.energy_j_m2)


def test_only_the_layers_between_the_known_ones_have_noise(source):
    system, row = source.system, source.structures[0]
    rows = energy_rows([source], SMALL)
    clean, noisy = (
        rows.sample(system, row, log_snr, np.random.default_rng(0)).array
        for log_snr in (40.0, LEVELS[0])
    )
    known = system.num_known
    assert torch.equal(clean[..., :known], noisy[..., :known])
    assert float((clean - noisy)[..., known:-known].std()) > 0.5


def test_the_estimates_order_the_rows_once_the_network_has_learned_them(source):
    atoms = SMALL.atoms.model_copy(update={"num_steps": 150, "width": 32})
    model = fitted_model(energy_rows([source], SMALL.model_copy(update={"atoms": atoms})), 0)
    means = np.array([model.estimate(source.system, row) for row in source.structures])
    # Before training every estimate is about 0.
    assert np.abs(means - source.energies).mean() < 0.1 * source.energies.mean()
    assert spearmanr(means, source.energies).statistic > 0.7


def test_the_estimate_does_not_depend_on_the_cell_the_order_of_atoms_or_a_shift(source, model):
    system, row = source.system, source.structures[0]
    energy = model.estimate(system, row)
    (ax, _), (bx, by) = system.bicrystal.cell
    positions = row.unrelaxed_positions
    # Two copies side by side, in a cell that is twice as long.
    copies = np.concatenate([positions, positions + np.array([ax, 0.0, 0.0])])
    double = replace(
        row,
        num_atoms=len(copies),
        unrelaxed_positions=copies,
        positions=copies,
        energies_ev=np.tile(row.energies_ev, 2),
        numbers=np.tile(row.numbers, 2),
        area_a2=2.0 * row.area_a2,
    )
    # Sums of float32 in another order.
    assert model.estimate(system.replicated(2, 1), double) == pytest.approx(energy, rel=1e-4)
    shuffled = np.random.default_rng(0).permutation(len(positions))
    moved = positions[shuffled] + np.array([0.3 * ax + 0.2 * bx, 0.2 * by, 0.0])
    other = replace(row, unrelaxed_positions=moved)
    assert model.estimate(system, other) == pytest.approx(energy, rel=1e-4)


def test_the_same_seed_trains_the_same_weights_bit_for_bit(source, model):
    again = train_energy_model([source], SMALL, seed=1)
    for one, other in ((model, again), (model.atoms, again.atoms)):
        weights, others = one.network.state_dict(), other.network.state_dict()
        assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert again.card == model.card


def test_the_spread_is_measured_at_every_noise_level(model):
    assert len(model.card.spread) == len(LEVELS)
    assert all(np.isfinite(one) and one > 0 for one in model.card.spread)


def test_the_model_of_a_file_gives_the_same_estimates_and_knows_what_it_learned_from(
    source, model, tmp_path
):
    path = tmp_path / "energy.safetensors"
    model.save(path)
    loaded = EnergyModel.load(path)
    assert replace(loaded.card, sha256="") == model.card
    assert loaded.card.runs == ("w_sigma5",)
    assert loaded.card.num_rows == len(source.structures)
    row = source.structures[0]
    assert loaded.estimate(source.system, row) == model.estimate(source.system, row)


def test_estimates_are_the_same_on_any_number_of_threads(source, model):
    row, before = source.structures[0], torch.get_num_threads()
    one = model.estimate(source.system, row)
    torch.set_num_threads(2)
    try:
        assert model.estimate(source.system, row) == one
    finally:
        torch.set_num_threads(before)


def test_a_structure_without_atoms_at_the_boundary_has_no_estimate(source, model):
    row = source.structures[0]
    raised = row.unrelaxed_positions + np.array([0.0, 0.0, 100.0])
    assert np.isnan(model.estimate(source.system, replace(row, unrelaxed_positions=raised)))


def test_a_model_is_refused_for_another_potential_and_for_other_elements(source, model, tmp_path):
    copper, path = made_source("cu_sigma5", num=1), tmp_path / "energy.safetensors"
    with pytest.raises(CheckpointError, match="cannot be used for Cu"):
        model.check(path, copper.system)
    other = replace(model, card=replace(model.card, potential_sha256="0"))
    with pytest.raises(CheckpointError, match="another potential"):
        other.check(path, source.system)
    model.check(path, source.system)


def test_rows_of_several_potentials_are_refused(source):
    with pytest.raises(StoreError, match="several potentials"):
        energy_rows([source, made_source("cu_sigma5", num=1)], SMALL)


def test_the_held_out_rows_are_those_of_one_n_in_four(source):
    (learned,), (held,) = without_some_n([source])
    assert {row.n_index for row in held.structures} == {1}
    assert {row.n_index for row in learned.structures} == {0, 2, 3}


def test_the_rank_correlation_compares_only_rows_of_one_n():
    n_index = np.repeat([0, 1], 10)
    energies = np.arange(20.0)
    # Perfect order within each [n], although the second [n] is estimated below the first.
    assert within_n(energies - 100.0 * n_index, energies, n_index) == pytest.approx(1.0)
    assert within_n(-energies, energies, n_index) == pytest.approx(-1.0)
    assert np.isnan(within_n(energies[:5], energies[:5], n_index[:5]))


def test_the_measured_spread_multiplies_that_of_the_network(source, model):
    system = source.system
    known = known_mask(system.grid.shape, system.num_known)
    arrays = torch.randn(1, 1, *system.grid.shape, generator=torch.Generator().manual_seed(0))
    plain, doubled = (
        replace(model, card=replace(model.card, spread=(factor,) * len(LEVELS)))
        for factor in (1.0, 2.0)
    )
    spreads = [
        one(arrays, torch.zeros(1), known, system.num_known)[1].item() for one in (plain, doubled)
    ]
    assert spreads[1] == pytest.approx(2.0 * spreads[0])
