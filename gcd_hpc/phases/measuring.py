"""Measurements of phases: each phase in one process, each result in a file of the run."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.spreading import spread
from gcd_hpc.errors import GcdError, LaunchError, StoreError
from gcd_hpc.phases.phase import Phase
from gcd_hpc.phases.record import MeasuredRecord, question_of, structure_sha256
from gcd_hpc.phases.system import PhaseSystem
from gcd_hpc.processor import processor_s
from gcd_hpc.store.arrays import write_arrays
from gcd_hpc.store.run import Run
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.store.run_directory import RunDirectory

Settings = Mapping[str, Any]
TIMEOUT_S = 120.0
"""Limit of the processor time of one job for each started thousand atoms, s."""
Progress = Callable[[int, int, str], None]
"""Called with the number of measured phases, that of all, and the name of the last one."""


@dataclass(frozen=True)
class Results:
    """Outcome of one measurement.

    values: plain JSON values, finite numbers.
    arrays: what is too long for JSON; stored in an HDF5 file beside the record.
    """

    values: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """One phase as the input of a measurement, in the process that measures it."""

    phase: str
    candidate: RunCandidate
    """Its representative."""
    system: PhaseSystem
    child: LammpsChild
    """Engine process of this measurement."""
    folder: Path
    """Folder for intermediate results, which need not exist. It stays if the measurement is killed,
    and the same command finds it again; it is removed when the measurement is complete."""


Measure = Callable[[Subject, Settings], Results]
"""Function of a module that measures one phase. It is called in another process."""


@dataclass(frozen=True)
class Measurements:
    """Records by the name of the phase, and the reasons why other phases have none."""

    records: dict[str, MeasuredRecord]
    failures: dict[str, str]


@dataclass(frozen=True)
class _Task:
    run: Path
    kind: str
    phase: str
    file_name: str
    candidate: RunCandidate
    settings: dict[str, Any]

    @property
    def record(self) -> Path:
        return RunDirectory(self.run).measured(self.kind, self.file_name)

    @property
    def question(self) -> str:
        """Hash of what is measured and how."""
        structure, potential = structure_sha256(self.candidate), self.candidate.potential_sha256
        return question_of(self.kind, structure, potential, self.settings)


def measure(
    run: Run,
    phases: Sequence[Phase],
    kind: str,
    settings: Settings,
    function: Measure,
    workers: int = 1,
    progress: Progress = lambda num, total, name: None,
) -> Measurements:
    """Measure phases and store the results in the run.

    A phase whose file answers the same question (structure, potential and settings) is not measured
    again. Each finished phase has its file at once, so that a killed command continues.

    Args:
        kind: of the measurement, such as ``excess``: the folder of the files.
        settings: plain JSON values; part of the question.
        workers: number of processes, each with its own engine. Results do not depend on it. More
            than one are started by ``spawn``, so that a script needs
            ``if __name__ == "__main__":``.

    Raises:
        StoreError: if the run has no campaign, or if a file is damaged.
        GcdError: if the engine cannot be used. What fails for one phase is a failure of the result.
    """
    system = system_of(run.path)
    tasks = [
        _Task(run.path, kind, one.name, one.file_name, one.representative, dict(settings))
        for one in phases
    ]
    for task in tasks:
        check_potential(run.path, task.candidate, system)
    records, failures = dict[str, MeasuredRecord](), dict[str, str]()
    missing = []
    for task in tasks:
        known = MeasuredRecord.read(task.record)
        if known is not None and known.question == task.question:
            records[task.phase] = known.model_copy(update={"phase": task.phase})
        else:
            missing.append(task)
    progress(len(records), len(tasks), "")
    what, num = f"measured a phase of {run.path}", min(workers, len(missing))
    for task, outcome in spread(missing, partial(_outcome, function), num, what):
        if isinstance(outcome, MeasuredRecord):
            records[task.phase] = outcome
        else:
            failures[task.phase] = outcome
        progress(len(records) + len(failures), len(tasks), task.phase)
    names = [task.phase for task in tasks if task.phase in records]
    return Measurements({name: records[name] for name in names}, failures)


def measured(run: Run, phase: Phase, kind: str) -> MeasuredRecord | None:
    """Record of a measurement of a phase; None if its structure was not measured.

    Raises:
        StoreError: if the file was edited or is damaged.
    """
    if not run.path.is_dir():
        return None
    record = MeasuredRecord.read(RunDirectory(run.path).measured(kind, phase.file_name))
    one = phase.representative
    question = structure_sha256(one), one.potential_sha256
    if record is None or (record.structure_sha256, record.potential_sha256) != question:
        return None
    return record


def check_potential(run: Path, candidate: RunCandidate, system: PhaseSystem) -> None:
    """Refuse a structure that was relaxed with another potential than the run's own.

    Raises:
        StoreError: if it was.
    """
    if candidate.potential_sha256 != system.potential.sha256:
        raise StoreError(
            f"{run}: {candidate.id} was relaxed with the potential"
            f" {candidate.potential_sha256[:12]}, but the run holds"
            f" {system.potential.sha256[:12]}; measure phases in the run that made them"
        )


def _outcome(function: Measure, task: _Task) -> MeasuredRecord | str:
    """Measure one phase and write its files; the reason if it cannot be measured."""
    begun_s = processor_s()
    system = system_of(task.run)
    files = RunDirectory(task.run)
    folder = files.measuring(task.kind, task.file_name, task.question)
    try:
        with LammpsChild(system.potential, TIMEOUT_S) as child:
            subject = Subject(task.phase, task.candidate, system, child, folder)
            results = function(subject, task.settings)
    except LaunchError:
        raise  # the machine is the cause, so that other phases would fail as well
    except GcdError as error:
        return str(error)
    record = MeasuredRecord(
        kind=task.kind,
        phase=task.phase,
        candidate=task.candidate.id,
        structure_sha256=structure_sha256(task.candidate),
        potential_sha256=task.candidate.potential_sha256,
        settings=task.settings,
        version=version("gcd-hpc"),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        cpu_s=processor_s() - begun_s,
        results=results.values,
    )
    # The arrays first: a record without its arrays, or an older one beside them, would count as
    # measured.
    if results.arrays:
        task.record.unlink(missing_ok=True)
        write_arrays(files.measured_arrays(task.kind, task.file_name), results.arrays)
    record.write(task.record)
    shutil.rmtree(folder, ignore_errors=True)
    return record


@lru_cache(maxsize=8)
def system_of(run: Path) -> PhaseSystem:
    """System of a run directory, kept for the next phases of this process."""
    return PhaseSystem.of_run(run)
