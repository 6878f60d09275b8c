"""Training samples: which structure, seen how."""

from collections import Counter

import numpy as np
import pytest
import torch

from gcd_hpc.stages.assembly import grid_of
from gcd_hpc.stages.batches import FIT, VALIDATE, ConditionScale, Sampler, fits, low_energy_weights, voxel_scale
from gcd_hpc.stages.layout import training_set
from gcd_hpc.stages.setting import load_setting
from gcd_hpc.store.parts import read_part
from gcd_hpc.structures.energetics import closest_pair

pytestmark = pytest.mark.lammps


@pytest.fixture
def sampler(searched_run) -> Sampler:
    setting = load_setting(str(searched_run))
    structures = read_part(training_set(searched_run, 1))
    grid = grid_of(setting.frame, setting.config.voxels.shape)
    scale = ConditionScale.fit([structure.gb_energy_j_m2 for structure in structures])
    return Sampler(setting, grid, structures, voxel_scale(structures, grid), scale, version=1)


def test_a_sample_belongs_to_its_step_and_slot_whoever_draws_it(sampler):
    whole = sampler.batch(FIT, 3, range(4), 4)
    half = sampler.batch(FIT, 3, range(2, 4), 4)
    for name in ("clean", "noise", "time", "condition"):
        assert torch.equal(getattr(whole, name)[2:], getattr(half, name)), name
    assert not torch.equal(whole.noise, sampler.batch(FIT, 4, range(4), 4).noise)
    assert not torch.equal(whole.noise, sampler.batch(VALIDATE, 3, range(4), 4).noise)


def test_a_sample_holds_all_atoms_of_its_structure(sampler):
    batch = sampler.batch(FIT, 0, range(8), 8)
    totals = (batch.clean * sampler.scale).sum(dim=(1, 2, 3, 4)).numpy()
    assert {round(float(total)) for total in totals} <= {structure.num_atoms for structure in sampler.structures}
    assert np.allclose(totals, np.round(totals), atol=1e-3)


def test_noise_levels_cover_every_part_of_the_process(sampler):
    times = sampler.batch(FIT, 0, range(4), 4).time
    assert [int(4 * t) for t in times] == [0, 1, 2, 3]


def test_every_fraction_is_drawn_as_often_as_any_other(sampler):
    rng = np.random.default_rng(0)
    drawn = Counter(int(rng.integers(len(sampler.by_fraction))) for _ in range(1000))
    assert min(drawn.values()) > 0.6 * 1000 / len(sampler.by_fraction)
    assert sum(len(structures) for structures, _ in sampler.by_fraction) == len(sampler.structures)
    for structures, weights in sampler.by_fraction:
        assert len({round(structure.n_fraction, 6) for structure in structures}) == 1
        assert weights.sum() == pytest.approx(1.0)


def test_low_energies_are_preferred_by_their_weight():
    weights = low_energy_weights(np.array([2.3, 2.45, 2.6]), 0.15)
    assert weights[0] / weights[1] == pytest.approx(np.e)
    assert weights[1] / weights[2] == pytest.approx(np.e)


def test_augmentation_keeps_the_structure(sampler):
    structure = sampler.structures[0]
    lengths = sampler.setting.frame.lengths
    for index in range(16):
        moved = sampler._augmented(structure, np.random.default_rng(index))
        assert closest_pair(moved, lengths) == pytest.approx(closest_pair(structure.positions, lengths), abs=1e-9)
        assert np.ptp(moved[:, 2]) == pytest.approx(np.ptp(structure.positions[:, 2]), abs=1e-9)
        assert fits(structure, sampler.setting.frame, sampler.grid)


def test_a_full_plane_is_no_plane():
    scale = ConditionScale(3.0, 0.5)
    assert np.allclose(scale(3.0, 0.0), scale(3.0, 1.0), atol=1e-6)
    assert scale(3.5, 0.0)[0] == pytest.approx(1.0)
