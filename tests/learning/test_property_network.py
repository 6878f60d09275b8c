"""Property networks: linear in the atoms, trained on sparse labels of whole groups, kept in files
with the covariance of their errors.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms

from gcd_hpc.errors import CheckpointError, StructureError, TrainingError
from gcd_hpc.learning.calibrated_property import Recipe, train_cross_validated
from gcd_hpc.learning.calibration import calibrate, principal_components
from gcd_hpc.learning.property_labels import (
    LabelledStructure,
    from_table,
)
from gcd_hpc.learning.property_network import (
    PropertyCard,
    PropertyConfig,
    PropertyModel,
    check_elements,
    check_energies,
    load_property,
    mean_over,
    save_property,
)
from gcd_hpc.learning.property_training import (
    PropertyTraining,
    held_out_residuals,
    noise_levels,
    predict,
    train_property,
)
from gcd_hpc.spectra.table import SpectrumTable, texts
from gcd_hpc.spectra.table_file import Labelled

CONFIG = PropertyConfig("meshgraphnet", cutoff=1.6, width=16, num_layers=1)
AWARE = replace(CONFIG, max_sigma=0.5)
TRAINING = PropertyTraining(
    num_steps=200, learning_rate=2e-2, num_warmup=10, ema_decay=0.97, jitter_a=0.05
)
CARD = PropertyCard("spectrum", "C", "K", (280.0, 281.0, 282.0), ("a", "b"), ("c",))


def structure(name, group, num_atoms, length, share_labelled=1.0):
    """Atoms whose three channels follow from how many neighbours they have."""
    rng = np.random.default_rng(num_atoms)
    positions = rng.uniform(0.0, length, (num_atoms, 3))
    vectors = positions[None] - positions[:, None]
    vectors -= length * np.round(vectors / length)
    near = (np.linalg.norm(vectors, axis=-1) < 1.6).sum(axis=1) - 1.0  # (N,)
    values = np.stack([1.0 + near, 6.0 - np.minimum(near, 5.0), np.full(num_atoms, 2.0)], axis=1)
    values[rng.uniform(size=num_atoms) >= share_labelled] = np.nan
    return LabelledStructure(name, group, "C", positions, np.full(3, length), values)


@pytest.fixture(scope="module")
def structures():
    return [
        structure("a0", "a", 40, 5.0, 0.5),
        structure("a1", "a", 41, 5.0, 0.5),
        structure("b0", "b", 60, 5.5),
        structure("c0", "c", 50, 5.2),
        structure("c1", "c", 51, 5.2),
    ]


@pytest.fixture(scope="module", params=["equivariant", "meshgraphnet"])
def trained(structures, request):
    learned = [one for one in structures if one.group != "c"]
    config = replace(CONFIG, backbone=request.param)
    return train_property(learned, config, TRAINING, seed=0, index=0)


def test_sparse_labels_of_boxes_of_different_sizes_teach_a_held_out_group(structures, trained):
    """Counting neighbours is learned in 3 s: less than a tenth of the variance is left."""
    network, curve = trained
    assert curve[:5].mean() > 0.5
    for one in structures[3:]:
        residual = predict([network], one) - one.values
        assert residual.var() < 0.1 * one.values[:, :2].var()


def test_a_training_is_the_same_bit_for_bit_again_and_another_of_another_index(structures):
    short = replace(TRAINING, num_steps=3)
    one, again, other = (
        train_property(structures[:3], AWARE, short, seed=1, index=index)[1] for index in (0, 0, 1)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_unlabelled_atoms_do_not_enter_the_loss(structures):
    """Two structures that differ only in labels that are absent from one of them teach alike where
    the others are the same: the labels of the absent atoms may be anything before they are removed.
    """
    sparse = structures[0]
    bare = replace(sparse, values=np.full_like(sparse.values, np.nan), name="bare")
    short = replace(TRAINING, num_steps=3)
    alone = train_property([sparse], CONFIG, short, seed=0, index=0)[1]
    beside = train_property([sparse, bare], CONFIG, short, seed=0, index=0)[1]
    assert np.array_equal(alone, beside)


def test_the_mean_is_over_the_masked_atoms_alone_and_its_gradient_too(structures, trained):
    one, (network, _) = structures[3], trained
    model = PropertyModel(network, CARD, None)
    positions = torch.tensor(one.positions, dtype=torch.float32)[None].requires_grad_()
    lengths, sigma = torch.tensor(one.lengths, dtype=torch.float32), torch.zeros(1)
    mask = torch.zeros(len(one.positions))
    mask[:10] = 1.0
    atoms = model.atoms(positions, lengths, sigma)
    mean = model.mean(positions, lengths, sigma, mask)
    torch.testing.assert_close(mean, atoms[:, :10].mean(dim=1))
    torch.testing.assert_close(mean_over(atoms), atoms.mean(dim=1))
    assert (atoms >= 0).all()
    (gradient,) = torch.autograd.grad(mean.sum(), positions)
    moved = gradient[0].abs().sum(dim=1) > 0
    assert moved[:10].any()
    assert not moved.all()  # beyond one layer's cutoff of the ten


@pytest.mark.parametrize("backbone", ["equivariant", "meshgraphnet"])
def test_a_noise_aware_network_is_told_the_noise_and_a_clean_one_is_not(structures, backbone):
    short = replace(TRAINING, num_steps=3)
    positions = torch.tensor(structures[0].positions, dtype=torch.float32)[None]
    lengths = torch.full((3,), 5.0)
    clean, aware = (replace(config, backbone=backbone) for config in (CONFIG, AWARE))
    for config, differs in ((aware, True), (clean, False)):
        network, _ = train_property(structures[:3], config, short, seed=0, index=0)
        low, high = (network(positions, lengths, torch.full((1,), s)) for s in (0.05, 0.4))
        assert bool((low - high).abs().max() > 1e-6) == differs
    assert np.allclose(noise_levels(AWARE, 8)[[0, -1]], [0.02, 0.5])
    assert noise_levels(CONFIG, 8).tolist() == [0.0]


def test_a_network_comes_back_from_its_file_with_card_and_calibration(
    structures, trained, tmp_path
):
    network, _ = trained
    levels = noise_levels(AWARE, 2)
    labels = np.concatenate([one.values[one.known] for one in structures[:3]])
    residuals = held_out_residuals(network, structures[3:], levels, seed=0, index=0)
    calibration = calibrate(*principal_components(labels), levels, residuals)
    path = tmp_path / "folder" / "spectrum.safetensors"
    digest = save_property(path, network, CARD, calibration)
    model = load_property(path)
    assert model.card == replace(CARD, sha256=digest)
    assert np.array_equal(
        predict([model.network], structures[3]), predict([network], structures[3])
    )
    assert torch.equal(model.calibration.covariance(0.1, 10), calibration.covariance(0.1, 10))


def test_cross_validation_measures_the_error_on_every_group_and_learns_from_all(structures):
    recipe = Recipe(CONFIG, replace(TRAINING, num_steps=3))
    done: list[float] = []
    measured = train_cross_validated(structures, recipe, 0, 0, "spectrum", "K", report=done.append)
    assert [one.group for one in measured.residuals[0]] == ["a", "a", "b", "c", "c"]
    assert measured.model.card.groups == measured.model.card.held_out == ("a", "b", "c")
    assert done == sorted(done)
    of_all, _ = train_property(structures, CONFIG, recipe.training, 0, 0)
    one = structures[0]
    assert np.array_equal(predict([measured.model.network], one), predict([of_all], one))
    with pytest.raises(TrainingError, match="all labelled structures are of one group"):
        train_cross_validated(structures[:2], recipe, 0, 0, "spectrum", "K")


def test_a_file_of_another_network_is_refused_in_one_sentence(tmp_path):
    from gcd_hpc.networks.checkpoint import save

    path = tmp_path / "other.safetensors"
    save(path, {"a": torch.ones(1)}, {"particle": {}})
    with pytest.raises(CheckpointError, match="is not the file of a property network"):
        load_property(path)


def test_wrong_labels_are_refused_in_one_sentence(structures):
    good = structures[0]
    with pytest.raises(StructureError, match="labels of shape"):
        replace(good, values=good.values[:-1])
    with pytest.raises(StructureError, match=r"trained on structures of C alone .* has Si"):
        check_elements(["C", "Si"], "C", "slab.xyz")
    short = replace(TRAINING, num_steps=1)
    other = replace(structures[2], element="Si")
    with pytest.raises(StructureError, match="of C alone and this one has Si"):
        train_property([good, other], CONFIG, short, 0, 0)
    with pytest.raises(StructureError, match="expected 3 channels, got 2"):
        train_property([good, replace(good, values=good.values[:, :2])], CONFIG, short, 0, 0)
    shifted = replace(good, energies_ev=(281.0, 282.0, 283.0))
    with pytest.raises(
        StructureError, match="a0: has spectra at other energies: expected channels"
    ):
        train_property([good, shifted], CONFIG, short, 0, 0)
    with pytest.raises(TrainingError, match="no atom of the structures has a label"):
        train_property([replace(good, values=np.nan * good.values)], CONFIG, short, 0, 0)


def test_labels_of_other_energies_are_refused_with_both_ranges():
    check_energies((280.0, 281.0), (280.0, 281.0), "labels.h5")
    check_energies(None, None, "labels.h5")
    with pytest.raises(StructureError, match="expected 2 energies from 280 to 281 eV, got 2 en"):
        check_energies((280.0, 281.0), (280.0, 282.0), "labels.h5")
    with pytest.raises(StructureError, match="got channels without energies"):
        check_energies((280.0, 281.0), None, "labels.h5")


def table_of_two(symbols="C3", is_periodic=True, edge="K"):
    """Three atoms of two structures, of which the first of the one and the last of the other are
    labelled.
    """
    structures = [
        Atoms(symbols, np.eye(3), cell=[5.0, 6.0, 7.0], pbc=is_periodic, info={"name": name})
        for name in ("left", "")
    ]
    empty = texts(["", ""])
    return Labelled(
        structures,
        SpectrumTable(
            structure=np.array([0, 1]),
            atom=np.array([0, 2]),
            values=np.array([[1.0, 2.0], [3.0, 4.0]]),
            status=texts(["ok", "ok"]),
            reason=empty,
            seconds=np.ones(2),
            energies_ev=np.array([280.0, 281.0]),
            element="C",
            edge=edge,
            engine="made",
            version="1",
            settings="{}",
        ),
    )


def test_a_table_of_spectra_gives_structures_with_labels_of_its_atoms_alone():
    left, right = from_table(table_of_two(), "C", "K")
    assert (left.name, right.name) == ("left", "structure 1")
    assert left.group != right.group
    assert left.known.tolist() == [True, False, False]
    assert right.values[2].tolist() == [3.0, 4.0]
    assert right.energies_ev == (280.0, 281.0)
    assert left.lengths.tolist() == [5.0, 6.0, 7.0]
    grouped = from_table(table_of_two(), "C", "K", ["one run", "one run"])
    assert {one.group for one in grouped} == {"one run"}


def test_tables_that_a_network_cannot_learn_from_are_refused_in_one_sentence():
    with pytest.raises(StructureError, match=r"cannot learn the C L3 edge: .* of the C K edge"):
        from_table(table_of_two(), "C", "L3")
    with pytest.raises(StructureError, match=r"left: .* of C alone and this one has N as well"):
        from_table(table_of_two("CNC"), "C", "K")
    with pytest.raises(StructureError, match=r"left: .* not orthorhombic and periodic"):
        from_table(table_of_two(is_periodic=False), "C", "K")
