"""A training that also keeps its loss and its weights after every step: ``python -m
gcd_hpc.workers.ranks NUM tests.stages.traced_training RUN OUT``.
"""

import os
import sys
from pathlib import Path

import torch

from gcd_hpc.learning.trainer import Trainer
from gcd_hpc.learning.training import Process
from gcd_hpc.stages.process_group import Ranks
from gcd_hpc.stages.train import main as train_main


class Trace:
    """Listens to the two calls of every step."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.weights: list[torch.Tensor] = []
        self._advance = Trainer.advance
        self._agree = {cls: cls.agree for cls in (Process, Ranks)}

    def advance(self, trainer: Trainer) -> float:
        self.weights = self.weights or [flat(trainer.network)]
        loss = self._advance(trainer)
        self.weights.append(flat(trainer.network))
        return loss

    def agree(self, process: Process, value: float, flag: bool | None = None) -> tuple[float, bool]:
        answer = self._agree[type(process)](process, value, bool(flag))
        if flag is not None:  # else it is not the loss of a step
            self.losses.append(answer[0])
        return answer


def flat(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat(
        [parameter.detach().double().reshape(-1) for parameter in network.parameters()]
    )


def main(run_dir: Path, out: Path) -> int:
    trace = Trace()
    Trainer.advance = lambda trainer: trace.advance(trainer)
    for cls in (Process, Ranks):
        cls.agree = lambda process, value, flag=None: trace.agree(process, value, flag)
    code = train_main([str(run_dir), "1"])
    content = {
        "losses": torch.tensor(trace.losses, dtype=torch.float64),
        "weights": torch.stack(trace.weights),
    }  # (steps + 1, weights)
    torch.save(content, out / f"rank-{os.environ['RANK']}.pt")
    return code


if __name__ == "__main__":
    os._exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
