"""A model of a compound: search, training, sampling and in-painting keep the elements of atoms."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from gcd_hpc.config.loader import dump, load_campaign
from gcd_hpc.learning.batches import FIT
from gcd_hpc.learning.boundary import prepare
from gcd_hpc.learning.painter import Painter
from gcd_hpc.learning.sampler import Sampler
from gcd_hpc.learning.sources import TrainingSource
from gcd_hpc.learning.training import Process, training_batches
from gcd_hpc.search.windows import Window
from gcd_hpc.seeds import generator
from gcd_hpc.stages.evaluate import evaluate_files
from gcd_hpc.stages.population import population_of
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.stages.rescore import campaign_of_run, rescore
from gcd_hpc.stages.search import search_chunk
from gcd_hpc.stages.select import select
from gcd_hpc.stages.train import train
from gcd_hpc.store.export import export
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run import open_run
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.sites import Sites
from tests.sharing import made_once
from tests.stages.conftest import CAMPAIGNS
from tests.stages.test_exports import STRUCTURAL, read_by_lammps

pytestmark = pytest.mark.lammps
SMALL = [
    "search.num_tries=8",
    "search.chunk_size=8",
    "search.md.probability=0",
    "network.width=8",
    "network.num_blocks=1",
    "training.num_steps=4",
    "training.checkpoint_every=4",
    "training.batch_size=2",
    "training.mosaics=0.5",
    "training.precision=float32",
    "sampling.num_candidates=2",
    "sampling.chunk_size=2",
    "sampling.batch_size=2",
    "sampling.num_steps=3",
    "selection.energy_window_j_m2=3",
]


@pytest.fixture(scope="module")
def compound_run(tmp_path_factory) -> Path:
    """A run of NiAl with a hardly trained model. Do not write to it: copy it."""

    def make(run_dir: Path) -> None:
        config = load_campaign(CAMPAIGNS / "nial_sigma5.yaml", SMALL)
        RunDirectory(run_dir).config.write_text(dump(config))
        prepare(run_dir, config, CAMPAIGNS)
        search_chunk(str(run_dir), 0)
        worker_child(str(run_dir)).close()
        select(str(run_dir), 1)
        train(run_dir, 1, Process(torch.device("cpu")))

    return made_once(tmp_path_factory, "compound", make)


@pytest.fixture(scope="module")
def tries(tmp_path_factory) -> Path:
    """A run of 32 random tries in the smallest cell of NiAl, which has two [n]."""

    def make(run_dir: Path) -> None:
        changes = ["boundary.replicas=[1,1]", "search.num_tries=32", "search.chunk_size=32"]
        changes += ["search.md.probability=0", "explore.archive_size=1"]
        config = load_campaign(CAMPAIGNS / "nial_sigma5.yaml", changes)
        RunDirectory(run_dir).config.write_text(dump(config))
        prepare(run_dir, config, CAMPAIGNS)
        search_chunk(str(run_dir), 0)
        worker_child(str(run_dir)).close()

    return made_once(tmp_path_factory, "compound-tries", make)


def test_parents_of_a_compound_are_the_lowest_at_every_chemical_potential_between_the_limits(tries):
    """Stored energies at both limits are joined by straight lines on a grid."""
    known = population_of(str(tries)).before(0, 0)
    rows = [row for row in open_run(tries) if row.status == "ok"]
    share = np.linspace(0.0, 1.0, 1001)
    for number, members in known.archive.items():
        here = [row for row in rows if row.n_index == number]
        limits = np.array([(row.rich_gb_energy_j_m2, row.poor_gb_energy_j_m2) for row in here])
        lines = limits[:, :1] * (1 - share) + limits[:, 1:] * share
        is_parent = np.array([row.id in members for row in here])
        assert (lines[is_parent].min(axis=0) <= lines.min(axis=0) + 1e-9).all()
        assert len(members) < len(here)
    # One is the lowest at the campaign's chemical potentials, others elsewhere.
    assert max(map(len, known.archive.values())) > 1


def test_structures_may_lie_higher_by_what_other_chemical_potentials_take_off(tries):
    known = population_of(str(tries)).before(0, 0)
    rows = {row.id: row for row in open_run(tries) if row.status == "ok"}
    heights = {
        name: row.gb_energy_j_m2 - known.lowest[row.n_index] - known.allowance(row)
        for name, row in rows.items()
    }
    members = [name for envelope in known.envelopes.values() for name in envelope.ids]
    assert [heights[name] for name in members] == pytest.approx([0.0] * len(members), abs=1e-9)
    assert min(heights.values()) > -1e-9
    assert max(known.allowance(rows[name]) for name in members) > 0.0


@pytest.fixture(scope="module")
def sampler(compound_run) -> Sampler:
    return Sampler.load(compound_run, 1, "cpu")


def test_samples_hold_as_many_atoms_of_each_element_as_their_structures(compound_run, sampler):
    rows = read_part(RunDirectory(compound_run).training_set(1))
    source = TrainingSource(sampler.system, rows, "compound")
    batches, _ = training_batches([source], sampler.model.card.units, 1)
    counts = {tuple(np.bincount(row.numbers, minlength=29)[[13, 28]]) for row in rows}
    for step in range(6):
        clean = batches.batch(FIT, step, range(2), 2).clean * batches.scale
        sums = np.rint(clean.sum(dim=(2, 3, 4)).numpy()).astype(int)  # (B, C)
        is_single = clean.shape[2:] == sampler.system.grid.shape
        for pair in sums:
            assert tuple(pair) in counts or not is_single
        # Sums of float32 voxels are whole to rounding, in mosaics too.
        assert np.abs(clean.sum(dim=(2, 3, 4)).numpy() - sums).max() < 1e-2


def test_candidates_have_the_elements_of_the_grains_beyond_the_seams(sampler):
    frame = sampler.system.frame
    for row in sampler.sample(range(2)):
        assert len(row.numbers) == row.num_atoms
        assert set(row.numbers) <= {13, 28}
        ends = frame.lower_sites(frame.bottom + 8.0)
        order = np.argsort(row.unrelaxed_positions[:, 2], kind="stable")[: len(ends.positions)]
        found = Sites(row.unrelaxed_positions[order], row.numbers[order])
        gaps = frame.bicrystal.wrap(found.positions)[:, None] - ends.positions
        nearest = np.linalg.norm(gaps, axis=2).argmin(axis=1)
        assert np.array_equal(found.numbers, ends.numbers[nearest])


def test_known_layers_of_both_elements_are_those_of_the_grains(sampler):
    drafts = [sampler.draft(index) for index in range(2)]
    arrays, num = sampler.generate(drafts), sampler.system.num_known
    for array, draft in zip(arrays, drafts, strict=True):
        perfect = draft.canvas.perfect()
        for part in (slice(None, num), slice(-num, None)):
            # Known voxels go through a division by the scale and back.
            torch.testing.assert_close(array[..., part], perfect[..., part], rtol=1e-6, atol=1e-7)


def test_atoms_outside_of_a_window_keep_places_and_elements_bit_for_bit(compound_run, sampler):
    painter = Painter.of(sampler)
    row = read_part(RunDirectory(compound_run).training_set(1))[0]
    middle = np.argmin(abs(row.positions[:, 2] - sampler.system.frame.centre))
    window = Window(row.positions[middle], 3.0, 4.0)
    sites = Sites(row.positions, row.numbers)
    painted = painter.paint(sites, window, 0.5, (1.0, 0), generator(0, 0, 0)).sites
    kept = sites.of(~window.mask(row.positions, sampler.system.frame.cell))
    assert np.array_equal(painted.positions[: len(kept.positions)], kept.positions)
    assert np.array_equal(painted.numbers[: len(kept.positions)], kept.numbers)


@pytest.mark.parametrize(
    "form",
    [
        form if form in ("extxyz", "lammps-data") else pytest.param(form, marks=pytest.mark.slow)
        for form in STRUCTURAL
    ],
)
def test_an_exported_structure_of_a_compound_has_its_energy_again(compound_run, tmp_path, form):
    run = open_run(compound_run)
    excess = next(one for one in run.relaxed() if one.surplus)
    export(run[[excess.id]], form, tmp_path / "out")
    file = tmp_path / "out" if form != "vasp" else tmp_path / "out" / excess.id / "POSCAR"
    (again,) = evaluate_files(campaign_of_run(run), [file], compound_run)
    assert (again.status, again.surplus) == ("ok", excess.surplus)
    # The minimiser begins anew and takes a few steps more, which lower the energy.
    assert -1e-5 < again.gb_energy_j_m2 - excess.gb_energy_j_m2 < 1e-6
    limits = again.rich_gb_energy_j_m2, again.poor_gb_energy_j_m2
    expected = excess.rich_gb_energy_j_m2, excess.poor_gb_energy_j_m2
    assert limits == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("form", ["lammps-data", "lammps-dump"])
def test_lammps_reads_the_elements_of_an_exported_compound(compound_run, tmp_path, form):
    run = open_run(compound_run)
    (candidate,) = run.lowest(1)
    export(run[[candidate.id]], form, tmp_path / "out")
    read = read_by_lammps(compound_run, tmp_path / "out", form, "Ni", "Al")
    # A sum over neighbours in another order.
    np.testing.assert_allclose(read["energies"], candidate.energies_ev, atol=1e-9)


def test_a_rescored_structure_of_a_compound_has_the_energies_of_its_elements_anew(
    compound_run, tmp_path
):
    """Other chemical potentials here; the energies of another engine differ in the same fields."""
    run = open_run(compound_run)
    excess = next(one for one in run.relaxed() if one.surplus)
    config = campaign_of_run(run)
    boundary = config.boundary.model_copy(update={"mu": {"Al": -3.0}})
    shutil.copytree(compound_run, tmp_path / "run")
    copied = open_run(tmp_path / "run")
    given = config.model_copy(update={"boundary": boundary})
    (row,) = rescore(copied, [copied[excess.id]], given, compound_run).after
    assert json.loads(row.element_energies_ev)["Al"][1] == -3.0
    difference = row.gb_energy_j_m2 - row.composition_energy_j_m2
    assert difference == pytest.approx(
        excess.gb_energy_j_m2 - excess.composition_energy_j_m2, abs=1e-5
    )
    assert row.composition_energy_j_m2 != pytest.approx(excess.composition_energy_j_m2, abs=1e-3)
    # Limits do not depend on the chemical potential that is chosen between them.
    assert row.poor_gb_energy_j_m2 == pytest.approx(excess.poor_gb_energy_j_m2, abs=1e-5)
