"""Course of the losses of a training, for those who follow it."""

import json
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

MAX_REPORTS = 400
"""Largest number of reports that are kept; a curve of more looks the same."""


@dataclass
class Course:
    """Course of the losses of a training, as it was reported.

    rows: step, mean loss of the last 100 steps, hold-out loss or None before the first one. Every
        second row is dropped when there are more than MAX_REPORTS.
    """

    first_step: int
    """Step at which this session began."""
    rows: list[tuple[int, float, float | None]] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path, step: int) -> "Course":
        """Course up to the step from which a training goes on; empty if no file tells of it."""
        try:
            rows = json.loads(path.read_text())["history"]
            return cls(step, [tuple(row) for row in rows if row[0] <= step])
        except (OSError, ValueError, KeyError, TypeError):
            return cls(step)

    def add(self, step: int, loss: float, validation_loss: float) -> None:
        """Add a report; one at the same step takes the place of the last."""
        while self.rows and self.rows[-1][0] >= step:
            self.rows.pop()
        self.rows.append((step, loss, validation_loss if isfinite(validation_loss) else None))
        if len(self.rows) > MAX_REPORTS:
            self.rows[:] = self.rows[-1::-2][::-1]
