"""The measured covariance of a property network's error is the true one where that is known."""

import numpy as np
import pytest
import torch

from gcd_hpc.errors import CheckpointError, TrainingError
from gcd_hpc.learning.calibration import (
    HeldOut,
    calibrate,
    chi_squared,
    principal_components,
    split_tensors,
)

NUM_CHANNELS, NUM_LABELLED = 20, 30
RNG = np.random.default_rng(3)
DIRECTIONS = np.linalg.qr(RNG.standard_normal((NUM_CHANNELS, 4)))[0]


def drawn(num_groups, num_absorbers, model_spread, rng):
    """Residuals of structures with a bias of each group and a spread of the atoms, of known size:
    both lie along four directions, beside independent errors of each channel.
    """
    found = []
    for group in range(num_groups):
        bias = DIRECTIONS @ (model_spread * np.array([4.0, 2.0, 1.0, 0.5]) * rng.normal(size=4))
        atoms = rng.normal(size=(num_absorbers, 4)) * [3.0, 2.0, 1.0, 1.0] @ DIRECTIONS.T
        atoms += 0.2 * rng.standard_normal((num_absorbers, NUM_CHANNELS))
        bias = bias + 0.1 * rng.standard_normal(NUM_CHANNELS)
        found.append(HeldOut(str(group), bias + atoms))
    return found


@pytest.fixture(scope="module")
def calibration():
    values = RNG.normal(size=(500, 4)) * [4.0, 3.0, 2.0, 1.0] @ DIRECTIONS.T
    components, variances = principal_components(
        values + 0.1 * RNG.standard_normal((500, NUM_CHANNELS))
    )
    levels = [drawn(400, NUM_LABELLED, spread, np.random.default_rng(4)) for spread in (0.5, 1.0)]
    return calibrate(components, variances, np.array([0.1, 0.4]), levels)


@pytest.mark.parametrize("num_absorbers", [5, NUM_LABELLED, 500])
@pytest.mark.parametrize(("sigma", "spread"), [(0.1, 0.5), (0.4, 1.0)])
def test_chi_squared_of_new_groups_is_one_for_any_number_of_absorbers(
    calibration, sigma, spread, num_absorbers
):
    """The mean of 400 groups scatters by sqrt(2 / 20 / 400) = 1.6 %; pulling C_model towards the
    property's variances and reading it from 400 groups adds a few per cent.
    """
    groups = drawn(400, num_absorbers, spread, np.random.default_rng(5))
    means = np.stack([one.residuals.mean(axis=0) for one in groups])
    covariance = calibration.covariance(sigma, num_absorbers)
    assert chi_squared(means, covariance).mean() == pytest.approx(1.0, abs=0.1)


def test_the_error_of_the_target_adds_to_that_of_the_network(calibration):
    target = 0.3 * torch.eye(NUM_CHANNELS)
    total = calibration.covariance(0.1, 10, target)
    torch.testing.assert_close(total - calibration.covariance(0.1, 10), target.double())


def test_between_two_noise_levels_the_covariance_lies_between_and_beyond_them_it_stays(calibration):
    low, middle, high = (calibration.covariance(sigma, 50) for sigma in (0.1, 0.2, 0.4))
    torch.testing.assert_close(middle, (low + high) / 2)  # 0.2 is half way in the logarithm
    assert torch.equal(calibration.covariance(0.0, 50), low)
    assert torch.equal(calibration.covariance(3.0, 50), high)


def test_one_group_leaves_no_direction_exactly_known():
    values = RNG.normal(size=(100, NUM_CHANNELS))
    one = HeldOut("a", np.ones((3, NUM_CHANNELS)) + 0.1 * RNG.standard_normal((3, NUM_CHANNELS)))
    calibration = calibrate(*principal_components(values), np.zeros(1), [[one]])
    smallest = torch.linalg.eigvalsh(calibration.covariance(0.0, 1e9))[0]
    assert smallest > 1e-4


def test_labels_of_single_atoms_cannot_calibrate_the_spread_within_a_structure():
    lonely = HeldOut("a", np.ones((1, NUM_CHANNELS)))
    with pytest.raises(TrainingError, match="no held-out structure has two atoms with labels"):
        calibrate(np.eye(NUM_CHANNELS)[:, :8], np.ones(8), np.zeros(1), [[lonely]])


def test_a_calibration_comes_back_from_the_entries_of_a_file(calibration):
    weights, back = split_tensors({"a": torch.ones(1), **calibration.tensors()})
    assert list(weights) == ["a"]
    assert torch.equal(back.covariance(0.2, 10), calibration.covariance(0.2, 10))
    assert split_tensors(weights) == (weights, None)


def test_a_calibration_of_which_a_part_is_missing_is_refused(calibration):
    entries = calibration.tensors()
    del entries["calibration.model"]
    with pytest.raises(CheckpointError, match="incomplete"):
        split_tensors(entries)
