"""Courses of the losses of a material's networks, from the files that their training wrote."""

import json
from dataclasses import dataclass
from pathlib import Path

from gcd_hpc.store.run_directory import RunDirectory

Course = list[tuple[int, float]]
"""Training steps, and the mean loss of some steps until then."""


@dataclass(frozen=True)
class RoundLosses:
    """Losses of the two networks of one round."""

    round: int
    prior: Course
    """Of the particle model: 1 is that of a model that moves nothing."""
    network: Course
    """Of the property network: 1 is that of the mean spectrum for every atom."""


def read_losses(run: RunDirectory) -> list[RoundLosses]:
    """Losses of each round that a run has trained or is training, by rounds."""
    found = []
    for path in run.training_progresses():
        round = int(path.parent.name)
        one = RoundLosses(round, _course(path), property_course(run, round))
        if one.prior or one.network:
            found.append(one)
    return found


def property_course(run: RunDirectory, round: int) -> Course:
    """Losses of the property network of a round; empty before it is trained."""
    return _course(run.property_losses(round))


def _course(path: Path) -> Course:
    """Losses of one file; empty while there is none that can be read."""
    try:
        rows = json.loads(path.read_text())["history"]
        return [(int(step), float(loss)) for step, loss, *_ in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return []
