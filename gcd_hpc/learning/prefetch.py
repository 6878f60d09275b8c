"""Training batches drawn ahead of their steps, by processes beside the one that uses a GPU."""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch.utils.data import DataLoader, Dataset

from gcd_hpc.learning.batches import FIT, Batch, TrainingBatches

Part = tuple[int, range]
"""Step and the slots of its batch that one process computes together."""


@dataclass(frozen=True)
class Parts(Dataset[Batch]):
    """Parts of the batches of a training, by step and slots."""

    batches: TrainingBatches
    batch_size: int

    def __getitem__(self, part: Part) -> Batch:
        step, slots = part
        return self.batches.batch(FIT, step, slots, self.batch_size)


def drawn(parts: Parts, order: Sequence[Part], num_processes: int) -> Iterator[Batch]:
    """Parts of batches in this order, the same on any number of processes.

    A GPU takes a step in less time than one core needs to draw its batch.

    Args:
        num_processes: processes that draw; with 0 this one draws each part when it is needed.
    """
    if num_processes == 0:
        return (parts[part] for part in order)
    loader = DataLoader(
        parts,
        batch_size=None,
        sampler=order,
        num_workers=num_processes,
        worker_init_fn=_leave_signals_to_the_training,
        multiprocessing_context="fork",
    )
    return iter(loader)


def _leave_signals_to_the_training(_: int) -> None:
    """Block requests to pause, which srun sends to all processes: the training answers them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1, signal.SIGINT})
