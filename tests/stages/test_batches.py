"""Training samples: which structure, seen how."""

import signal
from collections import Counter
from dataclasses import replace

import numpy as np
import psutil
import pytest
import torch

from gcd_hpc.diffusion.process import Schedule
from gcd_hpc.learning.assembly import known_mask
from gcd_hpc.learning.batches import (
    FIT,
    VALIDATE,
    TrainingBatches,
    fits,
    hold_out,
)
from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.learning.conditions import ConditionScale
from gcd_hpc.learning.network import boundary_network
from gcd_hpc.learning.prefetch import Parts, drawn
from gcd_hpc.learning.sources import TrainingSource, augmented, low_energy_weights
from gcd_hpc.learning.trainer import seeded
from gcd_hpc.learning.training import Objective, measured_units, training_batches
from gcd_hpc.search.windows import Parent
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate, candidate_id
from gcd_hpc.structures.energetics import closest_pair

pytestmark = pytest.mark.lammps
CPU = torch.device("cpu")


@pytest.fixture
def sampler(searched_run) -> TrainingBatches:
    system = load_boundary_system(str(searched_run))
    structures = read_part(RunDirectory(searched_run).training_set(1))
    source = TrainingSource(system, structures, "smoke")
    fit, _ = training_batches([source], measured_units([source]), 1)
    return replace(fit, sources=[source])


def test_a_sample_belongs_to_its_step_and_slot_whoever_draws_it(sampler):
    whole = sampler.batch(FIT, 3, range(4), 4)
    half = sampler.batch(FIT, 3, range(2, 4), 4)
    for name in ("clean", "noise", "time", "condition"):
        assert torch.equal(getattr(whole, name)[2:], getattr(half, name)), name
    assert not torch.equal(whole.noise, sampler.batch(FIT, 4, range(4), 4).noise)
    assert not torch.equal(whole.noise, sampler.batch(VALIDATE, 3, range(4), 4).noise)


# Newer Pythons warn of every fork of a process with threads, which numpy and torch have.
forks = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@forks
def test_batches_drawn_ahead_by_processes_are_those_of_one_process_in_order(sampler):
    order = [(step, slots) for step in range(3) for slots in (range(2), range(2, 4))]
    parts = Parts(with_shares(sampler, 0.5, 0.3), 4)
    pairs = list(zip(drawn(parts, order, 0), drawn(parts, order, 2), strict=True))
    assert len(pairs) == 6
    for expected, found in pairs:
        for name in ("clean", "noise", "time", "condition", "has_condition", "mask"):
            assert torch.equal(getattr(expected, name), getattr(found, name)), name


@forks
def test_a_signal_to_all_processes_does_not_end_those_that_draw(sampler):
    # srun sends a request to pause to every process of a training.
    order = [(step, range(2)) for step in range(40)]
    before = psutil.Process().children()
    batches = drawn(Parts(sampler, 2), order, 2)
    # Both processes run once each of them has drawn a part.
    next(batches)
    next(batches)
    drawing = [one for one in psutil.Process().children() if one not in before]
    assert len(drawing) == 2
    for one in drawing:
        one.send_signal(signal.SIGTERM)
    assert len(list(batches)) == 38


def with_shares(sampler: TrainingBatches, windows: float, mosaics: float) -> TrainingBatches:
    (source,) = sampler.sources
    config = source.system.config
    training = config.training.model_copy(update={"windows": windows, "mosaics": mosaics})
    system = replace(source.system, config=config.model_copy(update={"training": training}))
    return replace(sampler, sources=[replace(source, system=system)])


def test_without_windows_and_mosaics_all_between_the_known_layers_is_generated(sampler):
    plain = with_shares(sampler, 0.0, 0.0)
    for step in range(20):
        assert plain.batch(FIT, step, range(1), 4).mask is None
    mask = Objective(plain.config, CPU).mask(plain.batch(FIT, 0, range(2), 4))
    voxels = plain.config.voxels
    assert torch.equal(mask, known_mask(voxels.shape, voxels.known))


def test_windows_change_what_is_generated_and_nothing_else_of_a_sample(sampler):
    plain, windows = (with_shares(sampler, share, 0.0) for share in (0.0, 0.5))
    for step in range(4):
        expected, found = (one.batch(FIT, step, range(4), 4) for one in (plain, windows))
        for name in ("clean", "noise", "time", "condition", "has_condition"):
            assert torch.equal(getattr(expected, name), getattr(found, name)), name
        assert found.mask.shape == found.clean.shape


def test_about_the_share_of_the_samples_generates_a_window_of_the_moves_size(sampler):
    windows = with_shares(sampler, 0.5, 0.0)
    config, (x, y, z) = windows.config, windows.sources[0].system.grid.spacing
    slab = known_mask(config.voxels.shape, config.voxels.known)
    masks = torch.cat([windows.batch(FIT, step, range(8), 8).mask[:, 0] for step in range(16)])
    is_window = [not torch.equal(mask, slab) for mask in masks]
    # Standard deviation of the number: sqrt(128) / 2 = 5.7.
    assert 40 < sum(is_window) < 88
    low, high = config.explore.window_radius
    for mask in masks[is_window]:
        # Outside of the window all is known, the layers at both ends too.
        assert mask[slab].all()
        columns = (~mask).any(dim=2).sum().item() * x * y
        # A disc in voxels has a rough edge; a disc of 6.5 Å overlaps its periodic images.
        assert 0.7 * np.pi * low**2 < columns < 1.2 * np.pi * high**2
        layers = (~mask).any(dim=0).any(dim=0).sum().item() * z
        assert abs(layers - 2 * config.explore.window_depth) <= 2 * z


def test_all_samples_of_a_step_have_one_cell_and_the_share_of_mosaics_is_kept(sampler):
    mosaics = with_shares(sampler, 0.5, 0.3)
    shape = np.array(mosaics.sources[0].system.grid.shape)
    cells = []
    for step in range(100):
        first = mosaics.batch(FIT, step, range(1), 2)
        cells.append(tuple(np.array(first.clean.shape[2:]) // shape))
        if step < 10:
            second = mosaics.batch(FIT, step, range(1, 2), 2)
            both = mosaics.batch(FIT, step, range(2), 2)
            for name in ("clean", "noise", "time", "condition", "mask"):
                parts = torch.cat([getattr(first, name), getattr(second, name)])
                assert torch.equal(parts, getattr(both, name)), name
    drawn = Counter(cells)
    assert set(drawn) == {(1, 1, 1), (2, 1, 1), (1, 2, 1), (2, 2, 1)}
    # Standard deviation of the number of mosaics: sqrt(100 x 0.3 x 0.7) = 4.6.
    assert 15 < 100 - drawn[1, 1, 1] < 45


def test_a_sample_holds_all_atoms_of_its_structure(sampler):
    batch = with_shares(sampler, 0.5, 0.0).batch(FIT, 0, range(8), 8)
    totals = (batch.clean * sampler.scale).sum(dim=(1, 2, 3, 4)).numpy()
    assert {round(float(total)) for total in totals} <= {
        structure.num_atoms for structure in sampler.sources[0].structures
    }
    assert np.allclose(totals, np.round(totals), atol=1e-3)


def test_noise_levels_cover_every_part_of_the_process(sampler):
    times = sampler.batch(FIT, 0, range(4), 4).time
    assert [int(4 * t) for t in times] == [0, 1, 2, 3]


def test_the_time_that_rounding_makes_of_the_last_noise_level_has_a_finite_loss(
    sampler, monkeypatch
):
    # The largest random number below 1 in the last of four slots is 1 in float32.
    almost_one = np.nextafter(1.0, 0.0)
    real = TrainingSource.sample

    def last(self, cell, conditions, rng):
        return replace(real(self, cell, conditions, rng), offset=almost_one)

    monkeypatch.setattr(TrainingSource, "sample", last)
    batch = sampler.batch(FIT, 0, range(3, 4), 4)
    schedule = Schedule(sampler.config.diffusion.schedule)
    assert schedule.t_min < float(batch.time) <= schedule.t_max + 1e-6
    network = seeded(
        lambda: boundary_network(sampler.config.network, sampler.sources[0].system.channels), 0
    )
    loss = Objective(sampler.config, CPU)(network, batch)
    assert torch.isfinite(loss)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_every_fraction_is_drawn_as_often_as_any_other(sampler):
    rng = np.random.default_rng(0)
    (source,) = sampler.sources
    drawn = Counter(int(rng.integers(len(source.by_n))) for _ in range(1000))
    assert min(drawn.values()) > 0.6 * 1000 / len(source.by_n)
    assert sum(len(members) for members, _ in source.by_n) == len(source.structures)
    for members, weights in source.by_n:
        assert len({source.structures[index].n_index for index in members}) == 1
        assert weights.sum() == pytest.approx(1.0)


def test_low_energies_are_preferred_by_their_weight():
    weights = low_energy_weights(np.array([2.3, 2.45, 2.6]), 0.15)
    assert weights[0] / weights[1] == pytest.approx(np.e)
    assert weights[1] / weights[2] == pytest.approx(np.e)


def row(index: int, fraction: float, energy: float) -> Candidate:
    ident = candidate_id("search", 0, index)
    return Candidate(
        id=ident,
        source="search",
        version=0,
        round=0,
        index=index,
        seed=0,
        status="ok",
        n_index=round(fraction * 5),
        n_fraction=fraction,
        gb_energy_j_m2=energy,
    )


def rows(num: int) -> list[Candidate]:
    rng = np.random.default_rng(0)
    return [row(index, index % 5 / 5, float(rng.uniform(2, 3))) for index in range(num)]


def test_about_the_share_is_held_out_and_the_rest_is_learnt():
    structures = rows(2000)
    held, learned = hold_out(structures, 0.1)
    # Standard deviation of the number: sqrt(2000 x 0.1 x 0.9) = 13.
    assert 140 < len(held) < 260
    assert [one.id for one in structures if one in held] == [one.id for one in held]
    assert len(held) + len(learned) == 2000 and not {one.id for one in held} & {
        one.id for one in learned
    }


def test_the_lowest_of_every_fraction_is_learnt():
    structures = rows(100)
    _, learned = hold_out(structures, 0.9)
    for fraction in {one.n_fraction for one in structures}:
        lowest = min(
            (one for one in structures if one.n_fraction == fraction),
            key=lambda one: one.gb_energy_j_m2,
        )
        assert lowest in learned


def test_what_a_later_model_holds_out_was_not_learnt_by_an_earlier_one():
    earlier, lows = rows(300), [row(1000 + n, n / 5, 1.0) for n in range(5)]
    learned_before = {one.id for one in hold_out([*lows, *earlier], 0.1)[1]}
    later = [
        *reversed(earlier[:200]),
        *(row(index, index % 5 / 5, 2.5) for index in range(400, 700)),
        *lows,
    ]
    assert not {one.id for one in hold_out(later, 0.1)[0]} & learned_before


def test_something_is_held_out_of_any_set_unless_no_share_is_wanted():
    assert [len(part) for part in hold_out(rows(7), 1e-9)] == [1, 6]
    assert [len(part) for part in hold_out(rows(3), 0.05)] == [1, 2]
    assert [len(part) for part in hold_out(rows(1), 0.05)] == [1, 0]
    assert [len(part) for part in hold_out(rows(50), 0.0)] == [0, 50]


def test_augmentation_keeps_the_structure(sampler):
    (source,) = sampler.sources
    structure, system = source.structures[0], source.system
    lengths = np.diag(system.frame.cell)
    for index in range(16):
        rng = np.random.default_rng(index)
        parent = Parent(structure.positions, structure.energies_ev, np.zeros(3))
        moved = augmented(parent, system, rng).positions
        assert closest_pair(moved, lengths) == pytest.approx(
            closest_pair(structure.positions, lengths), abs=1e-9
        )
        assert np.ptp(moved[:, 2]) == pytest.approx(np.ptp(structure.positions[:, 2]), abs=1e-9)
        assert fits(structure, system.frame, system.grid)


def test_a_full_plane_is_no_plane():
    scale = ConditionScale(3.0, 0.5)
    assert np.allclose(scale(3.0, 0.0), scale(3.0, 1.0), atol=1e-6)
    assert scale(3.5, 0.0)[0] == pytest.approx(1.0)
