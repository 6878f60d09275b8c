"""A training that also keeps its loss and its weights after every step: ``torchrun -m
tests.stages.traced_training RUN OUT``.
"""

import os
import sys
from pathlib import Path

import torch

from gcd_hpc.stages import train as training


class Trace:
    """Listens to the two calls of every step."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.weights: list[torch.Tensor] = []
        self._agree, self._advance = training.Process.agree, training.Training.advance

    def advance(self, state: training.Training) -> float:
        self.weights = self.weights or [flat(state.network)]
        loss = self._advance(state)
        self.weights.append(flat(state.network))
        return loss

    def agree(
        self, process: training.Process, loss: float, wants_pause: bool
    ) -> tuple[float, bool]:
        answer = self._agree(process, loss, wants_pause)
        self.losses.append(answer[0])
        return answer


def flat(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat(
        [parameter.detach().double().reshape(-1) for parameter in network.parameters()]
    )


def main(run_dir: Path, out: Path) -> int:
    trace = Trace()
    training.Training.advance = lambda state: trace.advance(state)
    training.Process.agree = lambda process, loss, wants_pause: trace.agree(
        process, loss, wants_pause
    )
    code = training.main([str(run_dir), "1"])
    content = {
        "losses": torch.tensor(trace.losses, dtype=torch.float64),
        "weights": torch.stack(trace.weights),
    }  # (steps + 1, weights)
    torch.save(content, out / f"rank-{os.environ['RANK']}.pt")
    return code


if __name__ == "__main__":
    os._exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
