"""In-painting: what is known stays, what is unknown is learned."""

import pytest
import torch

from gcd_hpc.config.learning import EVALUATIONS_PER_STEP
from gcd_hpc.diffusion.inpainting import (
    inpaint,
    inpainting_denoiser,
    inpainting_loss,
    num_inputs,
)
from gcd_hpc.diffusion.process import Schedule, training_target
from gcd_hpc.diffusion.solvers import remaining_log_snrs, uniform_log_snrs

SCHEDULE = Schedule("cosine")
SHAPE = (2, 1, 4, 4, 12)
TWO_ELEMENTS = (2, 2, 4, 4, 12)


class Recorder:
    """A network of no use that keeps its inputs; its answer depends on all of them."""

    def __init__(self):
        self.calls = []

    def __call__(self, x, log_snr, condition, has_condition):
        self.calls.append((x, log_snr, condition, has_condition))
        shown = torch.zeros(x.shape[0], 1)
        if condition is not None:
            has = (
                torch.ones(x.shape[0], dtype=torch.bool) if has_condition is None else has_condition
            )
            shown = torch.where(has[:, None], condition[:, :1], shown)
        return torch.tanh(
            x.sum(1, keepdim=True)
            + log_snr[:, None, None, None, None]
            + shown[:, :, None, None, None]
        )


@pytest.fixture
def mask():
    known = torch.zeros(SHAPE[2:], dtype=torch.bool)
    known[..., :3] = known[..., -3:] = True
    return known


@pytest.fixture
def arrays():
    return torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("solver", ["dpm-solver-3", "dpm-solver++2m"])
@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_known_voxels_come_back_unchanged_from_in_painting(solver, prediction, mask, arrays):
    known, noise = arrays
    denoise = inpainting_denoiser(Recorder(), SCHEDULE, prediction, known, mask)
    sample = inpaint(denoise, noise, known, mask, SCHEDULE, 4, solver)
    assert torch.equal(sample[..., mask], known[..., mask])
    assert sample[..., ~mask].isfinite().all()


def two_channels(x, log_snr, condition, has_condition):
    """A network of no use for arrays of two elements; each channel's answer depends on all."""
    total = x.sum(1, keepdim=True) + log_snr[:, None, None, None, None]
    return torch.cat([torch.tanh(total), torch.sin(total)], dim=1)


@pytest.mark.parametrize("solver", ["dpm-solver-3", "dpm-solver++2m"])
def test_known_voxels_of_every_element_come_back_unchanged_from_in_painting(solver, mask):
    known, noise = torch.randn(2, *TWO_ELEMENTS, generator=torch.Generator().manual_seed(0))
    inputs = []

    def network(x, *others):
        inputs.append(x)
        return two_channels(x, *others)

    denoise = inpainting_denoiser(network, SCHEDULE, "v", known, mask)
    sample = inpaint(denoise, noise, known, mask, SCHEDULE, 4, solver)
    assert torch.equal(sample[..., mask], known[..., mask])
    assert sample[..., ~mask].isfinite().all()
    for x in inputs:
        assert x.shape[1] == num_inputs(2) == 5
        assert torch.equal(x[:, :2][..., mask], known[..., mask])
        assert torch.equal(x[:, 2:4], known * mask)
        assert torch.equal(x[:, 4:], mask.float().expand(2, 1, *mask.shape))


@pytest.mark.parametrize("of_items", [False, True])
def test_the_loss_is_the_mean_square_over_the_unknown_voxels_of_all_elements(of_items, mask):
    clean, noise = torch.randn(2, *TWO_ELEMENTS, generator=torch.Generator().manual_seed(0))
    given = mask.expand(2, 1, *mask.shape) if of_items else mask
    loss = inpainting_loss(
        lambda x, *_: torch.zeros_like(x[:, :2]),
        SCHEDULE,
        "epsilon",
        clean,
        given,
        torch.tensor([0.2, 0.7]),
        noise,
    )
    torch.testing.assert_close(loss, noise[..., ~mask].square().mean())


@pytest.mark.parametrize("kind", ["cosine", "linear"])
@pytest.mark.parametrize("solver", ["dpm-solver-3", "dpm-solver++2m"])
@pytest.mark.parametrize("prediction", ["epsilon", "v"])
@pytest.mark.parametrize("start_log_snr", [None, 0.5])
def test_arrays_on_another_device_than_the_cpu_are_in_painted_there(
    kind, solver, prediction, start_log_snr, mask, arrays
):
    # As on a GPU, an operation of a "meta" array with an array of the CPU is an error.
    def network(x, log_snr, condition, has_condition):
        return x[:, :1] * log_snr[:, None, None, None, None]

    schedule, (known, noise), mask = Schedule(kind), arrays.to("meta"), mask.to("meta")
    denoise = inpainting_denoiser(network, schedule, prediction, known, mask)
    sample = inpaint(denoise, noise, known, mask, schedule, 4, solver, start_log_snr)
    assert (sample.device.type, sample.shape) == ("meta", SHAPE)


@pytest.mark.parametrize("solver", ["dpm-solver-3", "dpm-solver++2m"])
def test_the_network_sees_the_known_voxels_clean_at_every_sub_stage(solver, mask, arrays):
    known, noise = arrays
    network = Recorder()
    inpaint(
        inpainting_denoiser(network, SCHEDULE, "v", known, mask),
        noise,
        known,
        mask,
        SCHEDULE,
        3,
        solver,
    )
    assert network.calls
    for x, *_ in network.calls:
        assert torch.equal(x[:, :1][..., mask], known[..., mask])
        assert torch.equal(x[:, 1:2], known * mask)
        assert torch.equal(x[:, 2:], mask.float().expand(SHAPE))


def test_values_of_the_known_array_outside_the_mask_are_not_used(mask, arrays):
    known, noise = arrays
    other = torch.where(mask, known, float("nan"))
    samples = [
        inpaint(
            inpainting_denoiser(Recorder(), SCHEDULE, "v", given, mask),
            noise,
            given,
            mask,
            SCHEDULE,
            3,
            "dpm-solver++2m",
        )
        for given in (known, other)
    ]
    assert torch.equal(*samples)


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_a_perfect_network_has_no_loss_whatever_it_says_about_known_voxels(
    prediction, mask, arrays
):
    clean, noise = arrays
    t = torch.tensor([0.2, 0.7])
    target = training_target(SCHEDULE, prediction, clean, noise, t)

    def perfect(x, log_snr, condition, has_condition):
        return torch.where(mask, 100.0, target)

    assert inpainting_loss(perfect, SCHEDULE, prediction, clean, mask, t, noise).item() == 0.0


def test_the_loss_is_the_mean_square_over_unknown_voxels(mask, arrays):
    clean, noise = arrays
    t = torch.tensor([0.2, 0.7])
    loss = inpainting_loss(
        lambda x, *_: torch.zeros_like(x[:, :1]), SCHEDULE, "epsilon", clean, mask, t, noise
    )
    torch.testing.assert_close(loss, noise[..., ~mask].square().mean())


def test_the_loss_of_items_with_masks_of_their_own_is_the_mean_of_their_losses(mask, arrays):
    clean, noise = arrays
    t, network = torch.tensor([0.2, 0.7]), Recorder()
    window = mask.clone()
    window[:2] = True  # a smaller part of the second item is unknown

    def loss(items, known):
        inputs = (clean[items], known, t[items], noise[items])
        return inpainting_loss(network, SCHEDULE, "v", *inputs)

    both = loss(slice(2), torch.stack([mask, window])[:, None])
    single = [loss(slice(0, 1), mask), loss(slice(1, 2), window)]
    # The two means add the same float32 squares in another order.
    torch.testing.assert_close(both, torch.stack(single).mean(), rtol=1e-6, atol=0)
    assert not torch.isclose(single[1], loss(slice(1, 2), mask))


@pytest.mark.parametrize("solver", ["dpm-solver-3", "dpm-solver++2m"])
def test_a_start_from_little_noise_takes_the_remaining_steps_and_stays_near_it(
    solver, mask, arrays
):
    known, noise = arrays

    def perfect(x, t):
        return known

    seen = []

    def denoise(x, t):
        seen.append(float(SCHEDULE.log_snr(t)))
        return perfect(x, t)

    # lambda runs from -5 to 5 in 10 steps; from 2.5 on, two and a half of them remain.
    inpaint(denoise, noise, known, mask, SCHEDULE, 10, solver, 2.5)
    assert seen[0] == pytest.approx(2.5)
    assert len(seen) == 3 * EVALUATIONS_PER_STEP[solver]

    # A network that finds nothing to change returns where it started: the known voxels.
    sample = inpaint(perfect, noise, known, mask, SCHEDULE, 10, solver, 2.5)
    torch.testing.assert_close(sample, known, rtol=0, atol=0.05)


def test_a_start_from_pure_noise_is_the_whole_solution(mask, arrays):
    known, noise = arrays
    denoise = inpainting_denoiser(Recorder(), SCHEDULE, "v", known, mask)
    whole = inpaint(denoise, noise, known, mask, SCHEDULE, 10, "dpm-solver++2m")
    log_snrs = remaining_log_snrs(SCHEDULE, 10, -99.0)
    assert log_snrs == uniform_log_snrs(SCHEDULE, 10)
    assert remaining_log_snrs(SCHEDULE, 10, 99.0) == [log_snrs[-1], log_snrs[-1]]
    started = inpaint(denoise, noise, known, mask, SCHEDULE, 10, "dpm-solver++2m", -99.0)
    # At lambda = -5 less than 1 % of the signal is left in the start.
    torch.testing.assert_close(started[..., mask], whole[..., mask], rtol=0, atol=0)
    torch.testing.assert_close(started, whole, rtol=0, atol=0.1)


def test_guidance_one_is_the_conditional_denoiser_in_one_evaluation(mask, arrays):
    network, condition = Recorder(), torch.tensor([[0.5], [-0.5]])
    inpainting_denoiser(network, SCHEDULE, "v", arrays[0], mask, condition, 1.0)(
        arrays[1], torch.tensor(0.5)
    )
    ((x, _, shown, has_condition),) = network.calls
    assert x.shape[0] == 2 and torch.equal(shown, condition) and has_condition is None


def test_guidance_zero_is_the_unconditional_denoiser_in_one_evaluation(mask, arrays):
    network, condition = Recorder(), torch.tensor([[0.5], [-0.5]])
    guided = inpainting_denoiser(network, SCHEDULE, "v", arrays[0], mask, condition, 0.0)(
        arrays[1], torch.tensor(0.5)
    )
    assert len(network.calls) == 1
    assert torch.equal(
        guided,
        inpainting_denoiser(network, SCHEDULE, "v", arrays[0], mask)(arrays[1], torch.tensor(0.5)),
    )


def test_other_guidance_goes_beyond_the_conditional_denoiser_by_its_weight(mask, arrays):
    condition, t = torch.tensor([[0.5], [-0.5]]), torch.tensor(0.5, dtype=torch.float64)
    without, with_condition, guided = (
        inpainting_denoiser(Recorder(), SCHEDULE, "v", arrays[0], mask, condition, weight)(
            arrays[1], t
        )
        for weight in (0.0, 1.0, 2.5)
    )
    torch.testing.assert_close(guided, without + 2.5 * (with_condition - without))
