import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from gcd_hpc.config.campaign import DecoderConfig
from gcd_hpc.errors import StructureError
from gcd_hpc.learning.decoder_training import encode_with_owners, train_decoder
from gcd_hpc.voxels.channels import Channels
from gcd_hpc.voxels.encoder import encode, encode_elements
from gcd_hpc.voxels.grid import Grid
from gcd_hpc.voxels.learned import ConvNextLayer, LearnedDecoder, decode_learned
from gcd_hpc.voxels.species import decode_elements
from tests.reference import GROUND_STATE
from tests.voxels.crystals import NEAREST_NEIGHBOR, boundary, compare, crowd, crystal

REACH = 0.45 * NEAREST_NEIGHBOR
# Few features and little noise learn in seconds; the campaign's own options are tested in the slow
# test.
QUICK = DecoderConfig(
    kind="learned", num_features=32, max_noise=0.01, num_steps=300, learning_rate=6e-3
)


def round_trips(
    positions: np.ndarray, grid: Grid, decoder: LearnedDecoder, num: int
) -> list[tuple[float, int, int]]:
    """Quality of decoding clean arrays of randomly shifted copies in which no two atoms share a
    voxel.
    """
    qualities = []
    for shift in np.random.default_rng(1).uniform(0.0, grid.spacing, (num, 3)):
        moved = positions + shift
        assert grid.num_shared(moved) == 0
        array = encode(torch.from_numpy(moved), grid).numpy()
        qualities.append(compare(decode_learned(array, grid, decoder, REACH), moved, grid))
    return qualities


@pytest.fixture(scope="module")
def bcc():
    positions, grid = crystal("bcc")
    return positions, grid, train_decoder([positions], grid, QUICK, np.random.default_rng(0))


def test_a_crystal_comes_back_with_every_atom_in_its_place(bcc):
    for error, lost, extra in round_trips(*bcc, num=5):
        assert (lost, extra) == (0, 0)
        assert error < 0.02  # docs/science.md#a9


@pytest.mark.slow
def test_the_campaign_s_decoder_brings_the_ground_state_back():
    positions, grid = boundary(GROUND_STATE)
    decoder = train_decoder(
        [positions],
        grid,
        DecoderConfig(kind="learned", learning_rate=6e-3),
        np.random.default_rng(0),
    )
    for error, lost, extra in round_trips(positions, grid, decoder, num=5):
        assert (lost, extra) == (0, 0)
        assert error < 0.02  # docs/science.md#a9


def test_rolling_the_array_rolls_the_answer(bcc):
    positions, grid, decoder = bcc
    array = encode(torch.from_numpy(positions + 0.3), grid)[None]
    with torch.no_grad():
        plain, rolled = (
            decoder(array, grid.periodic),
            decoder(array.roll((3, 5, 7), dims=(1, 2, 3)), grid.periodic),
        )
    assert torch.allclose(
        plain.denoised.roll((3, 5, 7), dims=(1, 2, 3)), rolled.denoised, atol=1e-5
    )
    assert torch.allclose(plain.logits.roll((3, 5, 7), dims=(1, 2, 3)), rolled.logits, atol=1e-3)


def test_open_ends_do_not_see_each_other():
    torch.manual_seed(0)
    layer, array = ConvNextLayer(1, 8), torch.zeros(1, 12, 12, 24)
    changed = array.clone()
    changed[..., 0] = 1.0
    with torch.no_grad():
        before, after = (
            layer(array, (True, True, False))[..., 0],
            layer(changed, (True, True, False))[..., 0],
        )
        wrapped = layer(changed, (True, True, True))[..., 0]
    assert torch.equal(before[..., -1], after[..., -1])
    assert not torch.equal(before[..., -1], wrapped[..., -1])


def test_an_untrained_denoiser_changes_nothing():
    array = torch.rand(1, 12, 12, 24)
    assert torch.equal(LearnedDecoder(8).denoise(array, (True, True, False)), array)


def test_the_same_seed_trains_the_same_decoder():
    positions, grid = crystal("sc")
    config = QUICK.model_copy(update={"num_steps": 3})
    first, second, other = (
        train_decoder([positions], grid, config, np.random.default_rng(seed)).state_dict()
        for seed in (0, 0, 1)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_weights_survive_safetensors(bcc):
    positions, grid, decoder = bcc
    copy = LearnedDecoder(QUICK.num_features)
    copy.load_state_dict(load(save(decoder.state_dict())))
    array = encode(torch.from_numpy(positions + 0.2), grid).numpy()
    assert np.array_equal(
        decode_learned(array, grid, copy, REACH), decode_learned(array, grid, decoder, REACH)
    )


def test_the_owner_of_a_voxel_is_the_atom_with_the_largest_share():
    positions, grid = crowd(seed=0, shortest=2.0)
    array, offsets = encode_with_owners(torch.from_numpy(positions), grid)
    assert torch.equal(array, encode(torch.from_numpy(positions), grid))
    for voxel in torch.nonzero(array > 0.05).numpy()[::7]:
        gaps = grid.displacement(voxel * np.array(grid.spacing), positions) / grid.spacing
        shares = np.maximum(0.0, 1 - abs(gaps)).prod(axis=1)
        assert offsets[tuple(voxel)].numpy() == pytest.approx(gaps[shares.argmax()], abs=1e-5)


def test_the_paper_s_decoder_has_64_features_and_3x3x3_filters():
    for module in (
        part for part in LearnedDecoder().modules() if isinstance(part, torch.nn.Conv3d)
    ):
        assert module.out_channels == 64
        assert module.kernel_size == (3, 3, 3)


def test_training_on_nothing_is_refused():
    with pytest.raises(StructureError, match="got none"):
        train_decoder([], Grid.build((12, 12, 24), (10.0, 10.0)), QUICK, np.random.default_rng(0))


@pytest.mark.slow
def test_a_decoder_of_single_channels_brings_both_elements_of_a_compound_back():
    positions, grid = crystal("bcc")
    numbers = np.where(np.arange(len(positions)) % 2, 13, 28)  # corners Ni, centres Al
    channels = Channels.of(["Ni", "Al"])
    config = QUICK.model_copy(update={"num_steps": 200})
    decoder = train_decoder(
        channels.split(positions, numbers), grid, config, np.random.default_rng(0)
    )

    def decode(array: np.ndarray, grid: Grid) -> np.ndarray:
        return decode_learned(array, grid, decoder, REACH)

    moved = positions + 0.4
    array = encode_elements(moved, numbers, channels, grid).numpy()
    found = decode_elements(array, channels, grid, decode)
    for number in channels.numbers:
        part, expected = found.positions[found.numbers == number], moved[numbers == number]
        error, lost, extra = compare(part, expected, grid)
        assert (lost, extra) == (0, 0)
        assert error < 0.1  # after a third of the other test's steps
