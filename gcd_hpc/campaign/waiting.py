"""Relaxation queue of the asynchronous mode: a heap ordered by estimated energy."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import ConfigDict

from gcd_hpc.stages.merit import NOTICEABLE_J_M2
from gcd_hpc.stages.table import Task

Scores = tuple[tuple[int, float], ...]
"""n_index and estimated E_gb in J/m^2 of each candidate of a task."""


@dataclass
class Waiting:
    """Waiting relaxation tasks with the scores of their candidates."""

    # The priority of a task is -inf if none of its [n] has a relaxed energy.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_inf_nan="constants")

    scores: dict[Task, Scores] = field(default_factory=dict)
    lowest: dict[int, float] = field(default_factory=dict)
    """Lowest relaxed energy of each [n], J/m^2."""
    heap: list[tuple[float, Task]] = field(default_factory=list)
    """Heap of tasks by priority. Removed tasks are deleted only when they reach the top."""

    def __len__(self) -> int:
        return len(self.scores)

    def add(self, task: Task, scores: Scores) -> None:
        """Add a task to the queue."""
        self.scores[task] = scores
        heapq.heappush(self.heap, (self._promise(scores), task))

    def remove(self, tasks: Iterable[Task]) -> None:
        """Remove tasks from the queue."""
        for task in tasks:
            self.scores.pop(task, None)
        while self.heap and self.heap[0][1] not in self.scores:
            heapq.heappop(self.heap)

    def learn(self, n_index: int, energy_j_m2: float) -> bool:
        """Record a relaxed energy, and return True if the queue must be reordered."""
        before = self.lowest.get(n_index, float("inf"))
        if energy_j_m2 < before:
            self.lowest[n_index] = energy_j_m2
        return energy_j_m2 < before - NOTICEABLE_J_M2

    def rank(self) -> None:
        """Recompute the order of all tasks from the energies known now."""
        self.heap = [(self._promise(scores), task) for task, scores in self.scores.items()]
        heapq.heapify(self.heap)

    def first(self, num: int) -> list[Task]:
        """Return the most promising tasks without removing them."""
        if num == 1 and self.heap:
            return [self.heap[0][1]]
        chosen: list[Task] = []
        extra = len(self.heap) - len(self.scores)
        for _, task in heapq.nsmallest(num + extra, self.heap):
            if len(chosen) < num and task in self.scores:
                chosen.append(task)
        return chosen

    def _promise(self, scores: Scores) -> float:
        """Priority of a task: its lowest score above the best energy of the same [n], J/m^2."""
        # An [n] without a relaxed energy comes first (-inf).
        return min(
            (score - self.lowest.get(n_index, float("inf")) for n_index, score in scores),
            default=0.0,
        )
