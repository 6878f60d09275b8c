"""Phases held at a temperature: windows, reservoirs, verdicts, and dynamics that resume."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gcd_hpc.engines.relaxation import PRESETS
from gcd_hpc.errors import SimulationError
from gcd_hpc.phases import holding
from gcd_hpc.phases.holding import (
    hold_cpu_s,
    hold_settings,
    measure_hold,
    num_same,
    steps_of,
    verdict_of,
)
from gcd_hpc.phases.measuring import Subject
from gcd_hpc.phases.stage import Stage
from gcd_hpc.structures.fingerprint import distance

pytestmark = pytest.mark.lammps
SHORT = hold_settings(300.0, ps=0.4, num_snapshots=2, replicas=(4, 2))


@pytest.fixture
def subject(twin_subject: Subject, tmp_path: Path) -> Subject:
    return replace(twin_subject, folder=tmp_path / "unfinished")


def test_a_coherent_twin_stays_at_room_temperature(subject: Subject):
    """Nothing in it can move within a picosecond."""
    values = measure_hold(subject, SHORT).values
    assert values["verdict"] == "stays"
    assert values["num_same"] == 2
    assert values["time_ps"] == pytest.approx([0.0, 0.2, 0.4])
    assert values["gb_energy_j_m2"] == pytest.approx([0.0222] * 3, abs=5e-4)
    assert values["n_fraction"] == pytest.approx(subject.candidate.n_fraction, abs=1)
    # The mean of 0.2 ps of 200 atoms, begun at 600 K of kinetic energy.
    assert values["temperature_k"][2] == pytest.approx(300.0, rel=0.25)


def test_dynamics_that_were_killed_go_on_to_the_same_result(subject: Subject, monkeypatch):
    """After a kill between two snapshots, in the middle of a stretch: bit for bit."""
    monkeypatch.setattr(holding, "STEPS_PER_JOB", 40)
    whole = measure_hold(subject, SHORT)
    resumed = replace(subject, folder=subject.folder.with_name("again"))
    run, calls = holding.run_dynamics, []

    def dying(child, job):
        calls.append(job)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return run(child, job)

    monkeypatch.setattr(holding, "run_dynamics", dying)
    with pytest.raises(KeyboardInterrupt):
        measure_hold(resumed, SHORT)
    again = measure_hold(resumed, SHORT)
    # Three jobs a snapshot, 100 steps; the fifth ran twice.
    assert len(calls) == 7
    assert again.values == whole.values
    np.testing.assert_array_equal(again.arrays["positions"], whole.arrays["positions"])


def test_a_state_that_a_power_failure_cut_is_made_again(subject: Subject):
    subject.folder.mkdir()
    (subject.folder / "state.npz").write_bytes(b"PK\x03\x04 half a file")
    assert measure_hold(subject, SHORT).values["verdict"] == "stays"


def test_a_free_surface_is_kept_out_of_the_fingerprint(subject: Subject):
    """The boundary between the surfaces has the fingerprint of the periodic one per area."""
    child, system = subject.child, subject.system
    marks = []
    for is_open in (False, True):
        stage = Stage.of(system, subject.candidate, (18, 1), is_open, has_reservoir=False)
        found = child.relax(stage.relaxation(stage.slab.positions, PRESETS["tight"]))
        marks.append(stage.mark(found.positions, found.energies))
        assert stage.is_open is is_open
    # The window cuts between rows of atoms, so that its number of them is not exactly its share.
    assert distance(*marks) < 0.1
    cut = Stage.of(system, subject.candidate, (18, 1), True, False)
    assert cut.slab.box[1, 0] > cut.slab.bicrystal.cell[0][0] + system.bulk.reach
    with pytest.raises(SimulationError, match="raise --replicas"):
        Stage.of(system, subject.candidate, (4, 1), True, False)


@pytest.mark.parametrize("change", [2, -2])
def test_a_reservoir_changes_the_number_of_atoms_in_a_strip_of_the_boundary(
    subject: Subject, change: int
):
    child = subject.child
    stage = Stage.of(subject.system, subject.candidate, (14, 2), False, has_reservoir=True)
    found = child.relax(stage.relaxation(stage.slab.positions, PRESETS["tight"]))
    changed = stage.with_atoms(change, found.energies, np.random.default_rng(1))
    before, after = stage.slab.positions, changed.slab.positions
    assert len(after) - len(before) == change
    old, new = {tuple(one) for one in before}, {tuple(one) for one in after}
    for x, _, z in old ^ new:
        assert 0 <= x <= 6.0
        assert abs(z - before[:, 2].mean()) < 8.0
    assert changed.slab.fixed.sum() == stage.slab.fixed.sum()
    low, _ = stage.window
    assert low > 6.0


def test_atoms_that_were_put_into_a_boundary_are_told_from_it(subject: Subject):
    settings = hold_settings(300.0, ps=0.1, num_snapshots=1, replicas=(14, 2), reservoir=-2)
    values = measure_hold(subject, settings).values
    assert values["num_atoms"] == 28 * subject.candidate.num_atoms - 2
    assert values["window_a"] is not None
    # Two vacancies cost some eV, which no window hides from the energy.
    assert values["gb_energy_j_m2"][0] > 0.03


def test_verdicts_follow_from_fingerprint_and_energy():
    same = [0.0] + [0.001] * 10
    excited = [0.0] + [0.04] * 10
    level, raised = [2.30] * 11, [2.30] + [2.325] * 10
    assert verdict_of(same, level) == "stays"
    assert verdict_of(excited, raised) == "stays"
    assert verdict_of([0.0] + [0.15] * 10, raised) == "changes"
    assert verdict_of(excited, [2.30] + [2.45] * 10) == "changes"
    assert verdict_of(excited, [2.48] + [2.30] * 10) == "falls into a lower structure"
    # Without energies, as with free surfaces, the fingerprint alone decides.
    assert verdict_of(excited, [None] * 11) == "stays"
    assert num_same(same, level) == 10
    assert num_same([0.0, 0.001, 0.02], [2.3, 2.3, 2.3]) == 1


def test_the_cost_is_known_before(subject: Subject):
    settings = hold_settings(300.0, ps=100.0, num_snapshots=20)
    assert steps_of(settings) == 2500
    double = hold_cpu_s(subject.candidate, settings | {"ps": 200.0})
    assert (
        hold_cpu_s(subject.candidate, settings)
        < double
        < 2 * hold_cpu_s(subject.candidate, settings)
    )
