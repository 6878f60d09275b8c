"""Phases held at a temperature by molecular dynamics. See docs/phases.md#hold."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from gcd_hpc.engines.child import USUAL_S
from gcd_hpc.engines.jobs import MAX_SEED, RelaxResult
from gcd_hpc.engines.motion import run_dynamics
from gcd_hpc.engines.relaxation import PRESETS
from gcd_hpc.errors import SimulationError
from gcd_hpc.files import replacing
from gcd_hpc.phases.measuring import Results, Settings, Subject
from gcd_hpc.phases.phase import Phase
from gcd_hpc.phases.stage import Stage
from gcd_hpc.seeds import HOLD, generator
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.structures.energetics import SAME_ENERGY_J_M2, n_fraction
from gcd_hpc.structures.fingerprint import SAME_FINGERPRINT, Fingerprint, distance

KIND = "hold"
TIMESTEP_PS = 0.002
STEPS_PER_JOB = 2000
"""Largest number of steps of one job, so that its time limit holds and a kill loses little."""
EXCITED, EXCITED_J_M2 = 0.08, 0.06
"""Fingerprints further apart, and energies further above the phase's, are of another structure.

At 0.3 of the melting point the [1/5] phase of W Sigma5 in 2x2 cells has atoms in other places than
at 0 K: 0.02 to 0.03 J/m^2 and 0.01 to 0.05 in the fingerprint after the quench, and nothing at all
now and then. The other published phase is 0.15 apart.
"""
NUM_LAST = 5
"""Snapshots at the end whose medians say what became of the phase."""
QUENCH_EVALUATIONS = 300
"""Evaluations that the quench of a snapshot takes, roughly."""
COLUMNS = {"distance": "distances"}
"""Names of the values of all snapshots, where they differ from that of one."""


def hold_settings(
    temperature_k: float,
    ps: float,
    num_snapshots: int = 20,
    replicas: tuple[int, int] = (2, 2),
    ends: str = "periodic",
    reservoir: int = 0,
    seed: int = 1,
) -> dict[str, Any]:
    """Settings of a measurement, which belong to its question.

    Args:
        ps: length of the dynamics, ps; rounded to a whole number of steps between snapshots.
        ends: periodic or free-surface.
        reservoir: atoms that are put into the boundary at its end, negative if they are taken.
    """
    return {
        "temperature_k": temperature_k,
        "ps": ps,
        "num_snapshots": num_snapshots,
        "replicas": list(replicas),
        "ends": ends,
        "reservoir": reservoir,
        "seed": seed,
    }


def steps_of(settings: Settings) -> int:
    """Steps of dynamics between two snapshots."""
    return max(1, round(float(settings["ps"]) / TIMESTEP_PS / int(settings["num_snapshots"])))


def hold_cpu_s(one: RunCandidate, settings: Settings) -> float:
    """Estimated processor time with an embedded-atom potential, s."""
    copies = settings["replicas"][0] * settings["replicas"][1]
    evaluations = settings["num_snapshots"] * (steps_of(settings) + QUENCH_EVALUATIONS)
    return float(one.num_atoms * copies * evaluations * USUAL_S)


def measure_hold(subject: Subject, settings: Settings) -> Results:
    """Hold one phase at a temperature, and quench snapshots at equal intervals.

    Args:
        settings: as ``hold_settings`` makes them.

    Raises:
        SimulationError: if the engine cannot go on, or if the cell is too small for the ends.
    """
    return _Holding(subject, settings).results()


@dataclass
class _State:
    """Where the dynamics stand: what a killed measurement continues from."""

    positions: np.ndarray
    velocities: np.ndarray | None
    num_jobs: int
    rows: list[dict[str, Any]]
    temperatures: list[float]
    """Of the jobs since the last snapshot, K."""

    def write(self, path: Path) -> None:
        words = [self.num_jobs, self.rows, self.temperatures]
        with replacing(path, flush=False) as temporary:
            np.savez(
                temporary,
                positions=self.positions,
                velocities=np.empty(0) if self.velocities is None else self.velocities,
                words=np.array(json.dumps(words)),
            )

    @classmethod
    def read(cls, path: Path) -> "_State | None":
        """State that a killed measurement left; None without one, or if a power failure cut it."""
        try:
            return cls._content(path)
        except (OSError, ValueError, EOFError, KeyError, BadZipFile):
            return None

    @classmethod
    def _content(cls, path: Path) -> "_State":
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            num_jobs, rows, temperatures = json.loads(str(content["words"]))
            velocities = content["velocities"]
            return cls(
                content["positions"],
                velocities if velocities.size else None,
                num_jobs,
                rows,
                temperatures,
            )


class _Holding:
    """Dynamics and quenches of one phase."""

    def __init__(self, subject: Subject, settings: Settings) -> None:
        if not subject.child.potential.has_energies:
            raise SimulationError(
                f"{subject.phase}: cannot be held, because {subject.child.potential} gives no"
                " energies of single atoms, by which the boundary is found; use another engine"
            )
        if len(subject.system.bicrystal.elements) > 1:
            raise SimulationError(
                f"{subject.phase}: cannot be held, because phases of several elements are not"
                " supported yet; hold boundaries of one element"
            )
        self.subject, self.settings = subject, settings
        self.stage = Stage.of(
            subject.system,
            subject.candidate,
            tuple(settings["replicas"]),
            settings["ends"] == "free-surface",
            settings["reservoir"] != 0,
        )
        subject.folder.mkdir(parents=True, exist_ok=True)
        self.path = subject.folder / "state.npz"

    def results(self) -> Results:
        """Snapshots against time, and what became of the phase."""
        settings = self.settings
        start = self._quenched(self.stage.slab.positions)
        first = self.stage.mark(start.positions, start.energies)
        beginning = start.positions
        if settings["reservoir"]:
            rng = generator(settings["seed"], HOLD, 0)
            self.stage = self.stage.with_atoms(settings["reservoir"], start.energies, rng)
            beginning = self._quenched(self.stage.slab.positions).positions
        state = _State.read(self.path)
        if state is None:
            state = _State(beginning, None, 0, [], [])
            state.rows.append(self._snapshot(state, first))
        final = self._run(state, first)
        return Results(self._values(state.rows), {"positions": final, "box": self.stage.slab.box})

    def _run(self, state: _State, first: Fingerprint) -> np.ndarray:
        """Go on to the last snapshot; the state is written after each job. Positions (N, 3)."""
        steps, settings = steps_of(self.settings), self.settings
        jobs = [STEPS_PER_JOB] * (steps // STEPS_PER_JOB)
        jobs += [steps % STEPS_PER_JOB] * (steps % STEPS_PER_JOB > 0)
        while len(state.rows) <= settings["num_snapshots"]:
            for num_steps in jobs[state.num_jobs % len(jobs) :]:
                rng = generator(settings["seed"], HOLD, 1, state.num_jobs)
                stretch = run_dynamics(
                    self.subject.child,
                    self.stage.dynamics(
                        *(state.positions, state.velocities, settings["temperature_k"]),
                        *(num_steps, TIMESTEP_PS, int(rng.integers(1, MAX_SEED))),
                    ),
                )
                state.positions, state.velocities = stretch.positions, stretch.velocities
                state.temperatures.append(stretch.temperature_k)
                state.num_jobs += 1
                # The last job of a snapshot is written together with it.
                if state.num_jobs % len(jobs):
                    state.write(self.path)
            state.rows.append(self._snapshot(state, first))
            state.temperatures = []
            state.write(self.path)
        return state.positions

    def _snapshot(self, state: _State, first: Fingerprint) -> dict[str, Any]:
        """Quench the present positions and compare them with the phase."""
        quenched = self._quenched(state.positions)
        mark = self.stage.mark(quenched.positions, quenched.energies)
        kelvin = float(np.mean(state.temperatures)) if state.temperatures else 0.0
        return {
            "time_ps": len(state.rows) * steps_of(self.settings) * TIMESTEP_PS,
            "temperature_k": kelvin,
            "distance": distance(first, mark),
            "gb_energy_j_m2": self._energy(quenched),
            "height_a": self.stage.height(quenched.positions, quenched.energies),
        }

    def _energy(self, quenched: RelaxResult) -> float | None:
        """Boundary energy in J/m^2; None with free surfaces, or if it is no boundary any more."""
        if self.stage.is_open:
            return None
        try:
            return self.stage.slab.energy(quenched)
        except SimulationError:
            return None

    def _quenched(self, positions: np.ndarray) -> RelaxResult:
        return self.subject.child.relax(self.stage.relaxation(positions, PRESETS["tight"]))

    def _values(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Results with the verdict."""
        slab = self.stage.slab
        columns = {COLUMNS.get(name, name): [row[name] for row in rows] for name in rows[0]}
        return columns | {
            "verdict": verdict_of(columns["distances"], columns["gb_energy_j_m2"]),
            "last_distance": columns["distances"][-1],
            "num_same": num_same(columns["distances"], columns["gb_energy_j_m2"]),
            "num_atoms": len(slab.positions),
            "n_fraction": None
            if self.stage.is_open
            else n_fraction(len(slab.positions), slab.bicrystal.atoms_per_plane),
            "window_a": None if self.stage.window is None else list(self.stage.window),
        }


def verdict_of(distances: Sequence[float], energies: Sequence[float | None]) -> str:
    """What became of a phase: it stays, changes, or falls into a lower structure.

    Args:
        distances: of the fingerprint from that of the phase in each snapshot, the first of which is
            the phase itself.
        energies: boundary energy in each snapshot, J/m^2; None where it has none.
    """
    known = [one for one in energies if one is not None]
    if len(known) < len(energies):
        known = []
    if known and min(known) < known[0] - SAME_ENERGY_J_M2:
        return "falls into a lower structure"
    rise = float(np.median(known[-NUM_LAST:])) - known[0] if known else 0.0
    is_near = float(np.median(distances[-NUM_LAST:])) <= EXCITED and rise <= EXCITED_J_M2
    return "stays" if is_near else "changes"


def num_same(distances: Sequence[float], energies: Sequence[float | None]) -> int:
    """Number of snapshots after the first that are the phase without any excitation."""
    first = energies[0]
    return sum(
        apart <= SAME_FINGERPRINT
        and (first is None or (energy is not None and abs(energy - first) < SAME_ENERGY_J_M2))
        for apart, energy in zip(distances[1:], energies[1:], strict=True)
    )


def as_phase(one: RunCandidate) -> Phase:
    """A single candidate under its id, to be held as if it were a phase.

    Raises:
        SimulationError: if it was not relaxed.
    """
    if not np.isfinite(one.positions).all() or not len(one.positions):
        raise SimulationError(f"{one.id}: cannot be held, because it was not relaxed; take another")
    return Phase(
        name=one.id,
        n_index=one.n_index,
        n_fraction=one.n_fraction,
        gb_energy_j_m2=one.gb_energy_j_m2,
        excess_volume_a=one.excess_volume_a,
        representative=one,
        members=(one.id,),
        replicas=(1, 1),
        layer_group="",
        middle_a=float("nan"),
    )
