"""The relaxation queue of the asynchronous mode: a heap, most promising tasks first, ranked anew as
energies become known.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gcd_hpc.stages.table import Task

Scores = Sequence[tuple[int, float]]
"""n_index and estimated E_gb in J/m^2 of each candidate of a task."""
NOTICEABLE_J_M2 = 1e-3
"""A best energy that falls by less does not change the order."""


@dataclass
class Waiting:
    """Tasks that wait, with the scores of their candidates."""

    scores: dict[Task, Scores] = field(default_factory=dict)
    lowest: dict[int, float] = field(default_factory=dict)
    """Lowest relaxed energy of each [n], J/m^2."""
    heap: list[tuple[float, Task]] = field(default_factory=list)
    """Tasks removed since stay in it until they come to the top."""

    def __len__(self) -> int:
        return len(self.scores)

    def add(self, task: Task, scores: Scores) -> None:
        """Put a task into the queue."""
        self.scores[task] = scores
        heapq.heappush(self.heap, (self._promise(scores), task))

    def remove(self, tasks: Iterable[Task]) -> None:
        """Take tasks out, wherever they stand."""
        for task in tasks:
            self.scores.pop(task, None)
        while self.heap and self.heap[0][1] not in self.scores:
            heapq.heappop(self.heap)

    def learn(self, n_index: int, energy_j_m2: float) -> bool:
        """Take note of a relaxed energy; whether it changes the order."""
        before = self.lowest.get(n_index, float("inf"))
        if energy_j_m2 < before:
            self.lowest[n_index] = energy_j_m2
        return energy_j_m2 < before - NOTICEABLE_J_M2

    def rank(self) -> None:
        """Order all tasks anew by what is known now."""
        self.heap = [(self._promise(scores), task) for task, scores in self.scores.items()]
        heapq.heapify(self.heap)

    def first(self, num: int) -> list[Task]:
        """The most promising tasks; they stay in the queue."""
        if num == 1 and self.heap:
            return [self.heap[0][1]]
        chosen: list[Task] = []
        extra = len(self.heap) - len(self.scores)
        for _, task in heapq.nsmallest(num + extra, self.heap):
            if len(chosen) < num and task in self.scores:
                chosen.append(task)
        return chosen

    def _promise(self, scores: Scores) -> float:
        """Least estimated height of a candidate above the lowest energy of its [n], J/m^2; a new
        [n] comes first.
        """
        return min(
            (score - self.lowest.get(n_index, float("inf")) for n_index, score in scores),
            default=0.0,
        )
