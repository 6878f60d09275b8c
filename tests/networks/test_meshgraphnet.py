"""What the particle model must not see: where the box begins, and how atoms are numbered."""

import pytest
import torch

from gcd_hpc.networks.meshgraphnet import MeshGraphNet

BOX = torch.tensor([4.0, 5.0, 6.0], dtype=torch.float64)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return MeshGraphNet(width=16, num_layers=3, cutoff=1.7).double()


@pytest.fixture(scope="module")
def positions():
    return BOX * torch.rand(
        2, 40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )


@pytest.fixture(scope="module")
def t():
    return torch.tensor([0.2, 0.9], dtype=torch.float64)


def test_shifting_all_atoms_changes_nothing(network, positions, t):
    shift = torch.tensor([1.234, -7.7, 0.01], dtype=torch.float64)
    torch.testing.assert_close(
        network(positions + shift, BOX, t), network(positions, BOX, t), rtol=0, atol=1e-11
    )


def test_wrapping_atoms_into_the_box_changes_nothing(network, positions, t):
    images = torch.randint(-3, 4, positions.shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        network(positions + images * BOX, BOX, t), network(positions, BOX, t), rtol=0, atol=1e-11
    )


def test_permuting_atoms_permutes_the_scores(network, positions, t):
    order = torch.randperm(40, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        network(positions[:, order], BOX, t),
        network(positions, BOX, t)[:, order],
        rtol=0,
        atol=1e-11,
    )


def test_structures_of_a_batch_do_not_see_one_another(network, positions, t):
    torch.testing.assert_close(
        network(positions[1:], BOX, t[1:]), network(positions, BOX, t)[1:], rtol=0, atol=1e-11
    )


def test_scores_tell_the_noise_level_and_each_displacement(network, positions, t):
    moved = positions.clone()
    moved[0, 0, 0] += 0.1
    before, after, later = (
        network(positions, BOX, t),
        network(moved, BOX, t),
        network(positions, BOX, t + 0.05),
    )
    assert (before - after)[0].abs().max() > 1e-3
    assert torch.equal(before[1], after[1])
    assert (before - later).abs().max() > 1e-3


def test_an_atom_is_seen_as_many_cutoffs_away_as_there_are_layers(network):
    """A chain with a spacing just below the cutoff: three messages reach the third neighbour, not
    the fourth.
    """
    chain = torch.zeros(1, 6, 3, dtype=torch.float64)
    chain[0, :, 0] = 1.6 * torch.arange(6)
    box = torch.tensor([40.0, 40.0, 40.0], dtype=torch.float64)
    moved = chain.clone()
    moved[0, 5, 1] += 0.1
    time = torch.tensor([0.5], dtype=torch.float64)
    differs = (network(moved, box, time) - network(chain, box, time))[0].abs().amax(dim=1) > 0
    assert differs.tolist() == [False, False, True, True, True, True]


def test_an_atom_without_neighbours_has_a_finite_score(network, t):
    lonely = torch.tensor([[[0.0, 0.0, 0.0], [2.0, 2.5, 3.0]]] * 2, dtype=torch.float64)
    assert network(lonely, BOX, t).isfinite().all()
