"""The model that the boundaries of a set share: what it learns from, and its copies for each.

The set trains each version once, from the training sets that its boundaries have selected, and
promotes it once. Each boundary then holds both products as if it had made them itself.
"""

import hashlib
import json
from collections.abc import Iterable
from filecmp import cmp
from pathlib import Path

from gcd_hpc.errors import CheckpointError
from gcd_hpc.files import link_or_copy, replacing
from gcd_hpc.stages.table import STAGES, Task
from gcd_hpc.store.parts import read_columns
from gcd_hpc.store.run_directory import RunDirectory

MAX_CANARY_BOUNDARIES = 3
"""Largest number of the boundaries of a set whose canaries a model has to make."""


def settle_sources(run: RunDirectory, version: int, names: Iterable[str]) -> None:
    """Write down which training sets a version learns from, before its training begins.

    A training that was interrupted goes on if they are the same, and else begins anew.

    Args:
        run: that of a set.
        names: boundaries that have selected their training sets.

    Raises:
        StoreError: if a training set cannot be read.
    """
    sources = {name: digest(run.member(name).training_set(version)) for name in names}
    if _is_readable(run, version) and _read(run.sources(version)) == sources:
        return
    run.training_state(version).unlink(missing_ok=True)
    with replacing(run.sources(version)) as temporary:
        temporary.write_text(json.dumps(sources, indent=1) + "\n", encoding="utf-8")


def restore_sources(run: RunDirectory, version: int) -> None:
    """Write the list of a version again if it was lost or damaged after its training had begun.

    It then names all boundaries whose folders hold a training set of the version.

    Args:
        run: that of a set.

    Raises:
        StoreError: if a training set cannot be read.
    """
    if not _is_readable(run, version):
        names = sorted(folder.name for folder in run.boundaries.iterdir())
        holding = [name for name in names if run.member(name).training_set(version).is_file()]
        settle_sources(run, version, holding)


def digest(training_set: Path) -> str:
    """SHA-256 of which structures a training set holds: their ids and their energies."""
    columns = read_columns([training_set], ["id", "gb_energy_j_m2"])
    pairs = zip(columns["id"].tolist(), columns["gb_energy_j_m2"].tolist(), strict=True)
    return hashlib.sha256(json.dumps(list(pairs)).encode()).hexdigest()


def learned_runs(run: RunDirectory, version: int) -> list[RunDirectory]:
    """Runs whose training sets a version learns from: a campaign itself, or members of a set.

    Raises:
        CheckpointError: if the list of a set is missing or damaged.
    """
    if not run.is_set():
        return [run]
    return [run.member(name) for name in _read(run.sources(version))]


def hand_over(run: RunDirectory, member: RunDirectory, task: Task) -> None:
    """Give a member the product of a task of its set: a hard link, or a copy where links fail.

    Another file of an earlier attempt is replaced.
    """
    product = STAGES[task.stage].product
    file, target = product(run, task.round, task.chunk), product(member, task.round, task.chunk)
    if not target.is_file() or not cmp(file, target, shallow=False):
        link_or_copy(file, target)


def _read(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(value) for name, value in found.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: the list of the boundaries that the model learns from cannot be read"
            f" ({error}); the set's command writes it again"
        ) from error


def _is_readable(run: RunDirectory, version: int) -> bool:
    try:
        _read(run.sources(version))
    except CheckpointError:
        return False
    return True
