"""What the equivariant network must not see: rotation, reflection, the box's origin, numbering."""

import pytest
import torch

from gcd_hpc.networks import equivariant
from gcd_hpc.networks.equivariant import EquivariantNet, EquivariantScore, bessel

EDGE = 5.0
BOX = torch.full((3,), EDGE, dtype=torch.float64)
TIGHT = {"rtol": 1e-9, "atol": 1e-13}
"""float64 sums in another order; scores of new weights are about 1e-3."""


@pytest.fixture(scope="module")
def network() -> EquivariantNet:
    torch.manual_seed(0)
    return EquivariantNet(width=16, num_layers=3, cutoff=1.7).double()


@pytest.fixture(scope="module")
def score() -> EquivariantScore:
    torch.manual_seed(0)
    return EquivariantScore(width=16, num_layers=3, cutoff=1.7).double()


@pytest.fixture(scope="module")
def positions() -> torch.Tensor:
    stream = torch.Generator().manual_seed(0)
    return EDGE * torch.rand(2, 40, 3, generator=stream, dtype=torch.float64)


LEVELS = torch.tensor([-3.0, -0.1], dtype=torch.float64)


@pytest.mark.parametrize(
    "turn",
    [
        pytest.param([[0, 1, 0], [0, 0, 1], [1, 0, 0]], id="rotation"),
        pytest.param([[0, -1, 0], [1, 0, 0], [0, 0, 1]], id="quarter"),
        pytest.param([[-1, 0, 0], [0, 1, 0], [0, 0, 1]], id="reflection"),
    ],
)
def test_turning_a_periodic_cube_turns_vectors_and_leaves_scalars(network, positions, turn):
    matrix = torch.tensor(turn, dtype=torch.float64)
    scalars, vectors = network(positions, BOX, LEVELS)
    turned_scalars, turned_vectors = network(positions @ matrix.T, BOX, LEVELS)
    torch.testing.assert_close(turned_scalars, scalars, **TIGHT)
    expected = torch.einsum("ij,bnjw->bniw", matrix, vectors)
    torch.testing.assert_close(turned_vectors, expected, **TIGHT)
    assert vectors.abs().max() > 1e-2


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_turning_a_cluster_by_any_angle_turns_its_scores(score, sign):
    """Of a cluster in a wide box no pair crosses the faces, so that all orientations are alike."""
    stream = torch.Generator().manual_seed(3)
    cluster = 4.0 * torch.rand(1, 40, 3, generator=stream, dtype=torch.float64)
    matrix, _ = torch.linalg.qr(torch.randn(3, 3, generator=stream, dtype=torch.float64))
    matrix = sign * matrix
    wide = torch.full((3,), 50.0, dtype=torch.float64)
    torch.testing.assert_close(
        score(cluster @ matrix.T, wide, LEVELS[:1]),
        score(cluster, wide, LEVELS[:1]) @ matrix.T,
        **TIGHT,
    )


def test_shifting_all_atoms_and_wrapping_them_changes_nothing(score, positions):
    shift = torch.tensor([1.234, -7.7, 0.01], dtype=torch.float64)
    images = torch.randint(-3, 4, positions.shape, generator=torch.Generator().manual_seed(1))
    moved = positions + shift + images * BOX
    torch.testing.assert_close(score(moved, BOX, LEVELS), score(positions, BOX, LEVELS), **TIGHT)


def test_permuting_atoms_permutes_the_scores(score, positions):
    order = torch.randperm(40, generator=torch.Generator().manual_seed(2))
    permuted = score(positions[:, order], BOX, LEVELS)
    torch.testing.assert_close(permuted, score(positions, BOX, LEVELS)[:, order], **TIGHT)


def test_structures_of_a_batch_keep_their_own_box_and_noise_level(score, positions):
    boxes = torch.stack([BOX, 1.1 * BOX])
    together = score(positions, boxes, LEVELS)
    for item in range(2):
        alone = score(positions[item : item + 1], boxes[item], LEVELS[item : item + 1])
        torch.testing.assert_close(together[item : item + 1], alone, **TIGHT)


def test_scores_tell_neighbouring_noise_levels(score, positions):
    low, high = (score(positions, BOX, LEVELS + step) for step in (0.0, 0.1))
    assert (low - high).norm() > 2e-3 * low.norm()


def test_the_messages_of_few_edges_at_once_are_those_of_all(score, positions, monkeypatch):
    def gradient():
        x = positions.clone().requires_grad_()
        scores = score(x, BOX, LEVELS)
        (slope,) = torch.autograd.grad(scores.square().sum(), x)
        return scores.detach(), slope

    whole, slope = gradient()
    monkeypatch.setitem(equivariant.EDGES_PER_CHUNK, "cpu", 7)
    torch.testing.assert_close(gradient(), (whole, slope), **TIGHT)
    monkeypatch.setattr(equivariant, "KEPT_EDGES", 0)
    monkeypatch.setattr(equivariant, "EDGES_PER_RECOMPUTATION", 50)
    torch.testing.assert_close(gradient(), (whole, slope), **TIGHT)


def test_the_gradient_is_that_of_finite_differences(score, positions):
    x = positions[:1, :12].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: score(x, BOX, LEVELS[:1]).square().sum(), x, atol=1e-6
    )


def test_radial_functions_and_their_slope_vanish_at_the_cutoff():
    distance = torch.tensor([2.9999], dtype=torch.float64, requires_grad=True)
    radial = bessel(distance, 3.0)
    assert radial.shape == (1, 12)
    assert radial.abs().max() < 1e-6
    (slope,) = torch.autograd.grad(radial[0, -1], distance)
    assert abs(slope) < 1e-5


def test_an_atom_without_neighbours_has_no_preferred_direction(score):
    lonely = torch.tensor([[[0.0, 0.0, 0.0], [2.0, 2.5, 2.0]]], dtype=torch.float64)
    assert torch.equal(score(lonely, BOX, LEVELS[:1]), torch.zeros_like(lonely))
