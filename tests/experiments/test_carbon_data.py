"""The public data: what they hold, and each warning of their README."""

from collections import Counter
from importlib.resources import files

import numpy as np
import pytest

from gcd_hpc.experiments.carbon_bonds import coordination_shares
from gcd_hpc.experiments.carbon_data import (
    DENSITIES,
    OTHER_NORMALISATION,
    leave_out,
    load_frames,
    network_labels,
    paper_fold,
)
from gcd_hpc.structures.periodic import minimum_image


@pytest.fixture(scope="module")
def frames():
    return load_frames(has_duplicates=True)


@pytest.fixture(scope="module")
def by_name(frames):
    return {frame.name: frame for frame in frames}


def at(frames, density):
    return [frame for frame in frames if frame.nominal_density == density]


def bond_networks(frames):
    """Groups of frames whose atoms all have the same labels: snapshots of one bond network."""
    groups = {}
    for frame in frames:
        labels = Counter(network_labels(frame.positions, frame.lengths))
        groups.setdefault(frozenset(labels.items()), []).append(frame)
    return list(groups.values())


def rms(values):
    return float(np.sqrt(np.square(values).mean()))


def test_thirty_frames_have_atoms_inside_their_box_and_a_spectrum_each(frames):
    assert len(frames) == 30
    for frame in frames:
        assert frame.positions.shape == (216, 3)
        assert frame.spectra.shape == (216, 100)
        assert np.isfinite(frame.spectra).all()
        assert (frame.positions >= 0).all() and (frame.positions < frame.lengths).all()
        mass_g = 216 * 12.011 / 6.02214076e23
        volume_cm3 = frame.lengths.prod() * 1e-24
        assert frame.density_g_cm3 == pytest.approx(mass_g / volume_cm3, rel=2e-4)
    assert Counter(frame.nominal_density for frame in frames) == dict(
        zip(DENSITIES, (15, 4, 5, 3, 3), strict=True)
    )


def test_most_frames_of_a_density_are_one_bond_network(frames):
    largest = {
        density: max(len(group) for group in bond_networks(at(frames, density)))
        for density in DENSITIES
    }
    assert largest == {1.5: 12, 2.0: 3, 2.5: 1, 3.0: 3, 3.5: 2}


def test_frames_off_the_middle_have_few_distinct_surroundings(frames):
    others = [frame for frame in frames if frame.nominal_density != 2.5]
    found = [
        len({label for f in others for label in network_labels(f.positions, f.lengths, rounds)})
        for rounds in (1, 2, 3)
    ]
    assert found == [24, 231, 756]


def test_a_held_out_density_shares_two_shells_but_hardly_three_with_the_others(frames):
    fold = leave_out(2.5)
    shares = []
    for rounds in (2, 3):
        known = {
            label for f in fold.training for label in network_labels(f.positions, f.lengths, rounds)
        }
        labels = [
            label for f in fold.held_out for label in network_labels(f.positions, f.lengths, rounds)
        ]
        shares.append(np.mean([label in known for label in labels]))
    assert shares == pytest.approx([0.74, 0.03], abs=0.01)


def test_labels_do_not_depend_on_the_numbering_or_the_origin(frames):
    frame = frames[0]
    order = np.random.default_rng(0).permutation(216)
    labels = network_labels(frame.positions, frame.lengths)
    moved = network_labels(frame.positions[order] + [0.3, -20.0, 5.0], frame.lengths)
    assert moved == [labels[atom] for atom in order]


@pytest.mark.parametrize(("name", "original"), [("d1.5_12", "d1.5_4"), ("d1.5_6", "d1.5_1")])
def test_a_frame_repeats_another_with_permuted_and_shifted_atoms(by_name, name, original):
    one, other = by_name[name], by_name[original]
    assert one.duplicate_of == original
    # Spectra identify the atoms; the shift is then the same for all.
    partner = np.array(
        [np.abs(other.spectra - spectrum).sum(axis=1).argmin() for spectrum in one.spectra]
    )
    assert sorted(partner) == list(range(216))
    shifts = minimum_image(one.positions - other.positions[partner], one.lengths)
    # Four decimals of fractional coordinates in a box of 14 Å.
    assert np.abs(minimum_image(shifts - shifts[0], one.lengths)).max() < 0.01
    np.testing.assert_allclose(one.spectra, other.spectra[partner], atol=6e-4)  # of about 1


def test_duplicates_are_left_out_unless_they_are_wanted():
    assert len(load_frames()) == 28
    assert not any(frame.duplicate_of for frame in load_frames())


def test_the_published_split_leaks(by_name):
    fold = paper_fold()
    training = {frame.name for frame in fold.training}
    assert len(training) == 25
    assert {frame.name for frame in fold.held_out} == {
        *("d1.5_11", "d1.5_12", "d1.5_13", "d2.0_2", "d2.5_5")
    }
    assert by_name["d1.5_12"].duplicate_of in training
    leaking = {
        frame.name
        for group in bond_networks([*fold.training, *fold.held_out])
        for frame in group
        if training & {member.name for member in group}
    }
    assert leaking - training == {"d1.5_11", "d1.5_12", "d1.5_13", "d2.0_2"}


@pytest.mark.parametrize("density", DENSITIES)
def test_leaving_out_a_density_shares_no_bond_network(density):
    fold = leave_out(density)
    assert len(fold.training) + len(fold.held_out) == 28
    assert {frame.nominal_density for frame in fold.held_out} == {density}
    names = {frame.name for frame in fold.held_out}
    for group in bond_networks([*fold.training, *fold.held_out]):
        assert len({frame.name in names for frame in group}) == 1


def test_a_density_that_is_not_there_cannot_be_left_out():
    with pytest.raises(ValueError, match=r"got 2\.7"):
        leave_out(2.7)


def test_numbers_of_bonds_follow_from_the_density(frames):
    expected = {
        1.5: (32, 65, 3),
        2.0: (12, 77, 12),
        2.5: (1, 70, 28),
        3.0: (0, 34, 66),
        3.5: (0, 5, 94),
    }
    for density, percent in expected.items():
        shares = np.array(
            [coordination_shares(f.positions[None], f.lengths)[0] for f in at(frames, density)]
        )
        np.testing.assert_allclose(100 * shares.mean(axis=0)[2:5], percent, atol=0.6)
        assert shares.std(axis=0).max() < 0.01  # the same for every frame of a density


def test_one_frame_is_normalised_differently_from_its_siblings(frames):
    means = {frame.name: frame.spectra.mean(axis=0) for frame in at(frames, 2.0)}
    odd = means.pop(OTHER_NORMALISATION)
    assert odd.sum() == pytest.approx(22.38, abs=0.005)
    assert all(21.97 < mean.sum() < 22.07 for mean in means.values())
    assert min(rms(odd - mean) for mean in means.values()) > 0.017
    siblings = list(means.values())
    assert max(rms(a - b) for a in siblings for b in siblings) < 0.0065


def test_mean_spectra_of_one_density_differ_by_their_thermal_spread(frames):
    for density in DENSITIES:
        means = [
            frame.spectra.mean(axis=0)
            for frame in at(frames, density)
            if frame.name != OTHER_NORMALISATION
        ]
        assert max(rms(mean - np.mean(means, axis=0)) for mean in means) < 0.0065


def test_spectra_of_the_crystals_have_another_unit(frames):
    with (files("gcd_hpc.experiments") / "data" / "references.npz").open("rb") as file:
        references = dict(np.load(file))
    sizes = [len(references[f"{name}_positions"]) for name in ("diamond", "graphite")]
    assert sizes == [216, 128]
    typical = np.mean([frame.spectra.mean(axis=0).sum() for frame in frames])
    for name in ("diamond", "graphite"):
        spectrum = references[f"{name}_spectrum"]
        assert spectrum.shape == (100,)
        assert typical / spectrum.sum() == pytest.approx(49.0, abs=1.0)
