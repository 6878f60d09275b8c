"""A model of many boundaries: which runs it learns from, and their training sets."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ValidationError

from gcd_hpc.config.learning import LearningConfig
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.config.section import NonNegativeInt, Section
from gcd_hpc.engines.bulk import read_prepared
from gcd_hpc.errors import RunDirectoryError, StoreError, did_you_mean
from gcd_hpc.files import replacing
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.learning.sources import TrainingSource
from gcd_hpc.stages.record import begin
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.select import choose
from gcd_hpc.stages.table import Task
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.run_set import RunSet
from gcd_hpc.store.schema import Candidate
from gcd_hpc.store.training_folder import TrainingFolder
from gcd_hpc.structures.bicrystal import BORDER
from gcd_hpc.structures.frame import Frame


class LearnedRun(Section):
    """A run that a model learns from."""

    name: str
    run: str
    """Its run directory, as an absolute path."""
    is_held_out: bool = False
    """Whether nothing is learned from it, and only its loss is stated."""


class ModelJob(Section):
    """What is trained, from what and how. Equal jobs give equal models."""

    runs: tuple[LearnedRun, ...]
    learning: LearningConfig
    seed: NonNegativeInt = 0
    dtype: Literal["float32", "bfloat16"] = "float32"


def runs_of(paths: Sequence[Path], held_out: Sequence[str]) -> tuple[LearnedRun, ...]:
    """Runs of these folders; that of a set stands for all its members.

    Args:
        held_out: names, patterns such as ``W_*``, or chemical symbols.

    Raises:
        StoreError: if a folder is no run, if two runs have one name, or if nothing is held out by a
            name or nothing is left.
    """
    runs: dict[str, LearnedRun] = {}
    symbols: dict[str, tuple[str, ...]] = {}
    for name, folder in _named(paths):
        config = RunDirectory(folder).config
        if not config.is_file():
            raise StoreError(
                f"{folder}: is no run directory, because it holds no {config.name}; name the run"
                " directory of a campaign or of a set"
            )
        if name in runs:
            raise StoreError(
                f"{folder}: has the name of {runs[name].run}, {name}; name one of them or rename a"
                " folder"
            )
        symbols[name] = load_campaign(config).boundary.symbols
        runs[name] = LearnedRun(name=name, run=str(folder.absolute()))
    for word in held_out:
        names = [one for one in runs if fnmatchcase(one, word) or word in symbols[one]]
        if not names:
            raise StoreError(
                f"--hold-out {word}: is the name or an element of none of the {len(runs)} runs"
                f"{did_you_mean(word, runs)}"
            )
        for name in names:
            runs[name] = runs[name].model_copy(update={"is_held_out": True})
    if all(one.is_held_out for one in runs.values()):
        raise StoreError("every run is held out, so that nothing is left to learn from")
    return tuple(runs.values())


def _named(paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Name and folder of each run. Members of several sets are called SET/MEMBER."""
    sets = [path for path in paths if RunSet.is_set(path)]
    for path in paths:
        if path not in sets:
            yield path.absolute().name, path
            continue
        found = RunSet.open(path)
        prefix = "" if len(sets) == 1 else f"{path.absolute().name}/"
        for name in found.campaigns:
            yield prefix + name, found.directory(name)


def prepare_job(
    folder: TrainingFolder, job: ModelJob, report: Callable[[str], None] = lambda text: None
) -> None:
    """Choose the training sets of a job, or check that the folder holds those of the same job.

    Args:
        report: called with what is being done.

    Raises:
        RunDirectoryError: if the folder holds another job, or if a file cannot be written.
        StoreError: if no structure of a run lies in its energy window.
    """
    if folder.job.exists():
        known = read_job(folder)
        for name in ModelJob.model_fields:
            if getattr(known, name) != getattr(job, name):
                raise RunDirectoryError(
                    f"{folder.path}: holds an unfinished training with other {name}; go on with the"
                    " same command as before, remove the folder, or choose another --out"
                )
        return
    folder.training_set(0).parent.mkdir(parents=True, exist_ok=True)
    for number, run in enumerate(job.runs):
        report(f"choosing structures of {run.name} ({number + 1} of {len(job.runs)})")
        _write_set(folder.training_set(number), run, job)
    with replacing(folder.job) as temporary:
        temporary.write_text(job.model_dump_json(indent=1), encoding="utf-8")


def read_job(folder: TrainingFolder) -> ModelJob:
    """The job of a training.

    Raises:
        RunDirectoryError: if its file is missing or damaged.
    """
    try:
        return ModelJob.model_validate(json.loads(folder.job.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise RunDirectoryError(
            f"{folder.job}: cannot be read ({reason}); remove the folder and train again"
        ) from error


def sources_of(folder: TrainingFolder, job: ModelJob) -> list[TrainingSource]:
    """Training sets of a job, in its order."""
    return [
        TrainingSource(learning_system(run, job), read_part(folder.training_set(number)), run.name)
        for number, run in enumerate(job.runs)
    ]


def learning_system(run: LearnedRun, job: ModelJob) -> BoundarySystem:
    """System of a run with the settings of a job: seed, network, noise process and training.

    Its voxels are those of the automatic rule, which are alike in all boundaries.
    """
    files, learning = RunDirectory(run.run), job.learning
    config = load_campaign(files.config)
    potential, bulk = read_prepared(config, files.potential, files.bulk)
    sections = {
        "seed": job.seed,
        "voxels": learning.voxels,
        "network": learning.network,
        "diffusion": learning.diffusion,
        "training": learning.training,
    }
    return BoundarySystem.of(config.model_copy(update=sections), potential, bulk, files)


def _write_set(path: Path, run: LearnedRun, job: ModelJob) -> None:
    begun, system = begin(Task("select", 1)), learning_system(run, job)
    chosen = anchored(choose(system, RunDirectory(run.run).all_relaxed_parts()), system.frame)
    if not chosen:
        raise StoreError(
            f"{run.run}: no relaxed structure lies in the energy window of selection; search"
            " longer, or leave this run out"
        )
    result = StageResult(num=len(chosen), ok=len(chosen), seconds=begun.seconds())
    begun.write(path, chosen, system.config, result)


def anchored(structures: Sequence[Candidate], frame: Frame) -> list[Candidate]:
    """The structures with their lowest plane at the bottom of a frame.

    Runs of another grid have boxes of another height, in which the slabs begin elsewhere.
    """
    rows = []
    for row in structures:
        rise = frame.bottom - float(row.positions[:, 2].min())
        moved = row.positions + np.array([0.0, 0.0, rise])
        rows.append(replace(row, positions=moved) if abs(rise) > BORDER else row)
    return rows
