"""The processes of a launched training, which find each other by torch.distributed."""

import io
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.distributed as dist

from gcd_hpc.errors import GcdError, LaunchError
from gcd_hpc.learning.training import Process
from gcd_hpc.stages.launched import PAUSED, STORE_NAME, report_error, report_start
from gcd_hpc.stages.training_loop import Pause, Paused, is_trained

PATIENCE = timedelta(hours=2)
"""Timeout of collectives: rank 0 may train the learned decoder while the others wait.

gloo notices a lost process at once.
"""


class Ranks(Process):
    """Process group of a launched training, on gloo or NCCL."""

    @classmethod
    def join(cls) -> Process:
        """Join the processes of the launch; a single process needs no group.

        Raises:
            LaunchError: if a node has more processes than GPUs.
        """
        rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        cuda, local = torch.cuda.is_available(), int(os.environ.get("LOCAL_RANK", 0))
        if cuda and local >= torch.cuda.device_count():
            raise LaunchError(
                f"training cannot start {local + 1} processes on a node with"
                f" {torch.cuda.device_count()} GPUs, because each needs one; lower"
                " training.processes_per_node of the site"
            )
        device = torch.device("cuda", local) if cuda else torch.device("cpu")
        if cuda:
            torch.cuda.set_device(device)
        if world == 1:
            return Process(device)
        options: dict[str, Any] = {"timeout": PATIENCE}
        if STORE_NAME in os.environ:
            store = dist.FileStore(os.environ[STORE_NAME], world)
            options |= {"store": store, "rank": rank, "world_size": world}
        dist.init_process_group("nccl" if cuda else "gloo", **options)
        return cls(device, rank, world, world)

    def agree(self, value: float, flag: bool = False) -> tuple[float, bool]:
        both = torch.tensor([value, float(flag)], dtype=torch.float64, device=self.device)
        dist.all_reduce(both)
        return float(both[0]) / self.world, bool(both[1])

    def shared(self, value: Any) -> Any:
        # torch's broadcast_object_list unpickles received data, so that anyone who connects could
        # run code. torch.load with weights_only cannot.
        buffer = io.BytesIO()
        torch.save(value, buffer)
        size = torch.tensor([buffer.tell()], device=self.device)
        dist.broadcast(size, 0)
        data = torch.zeros(int(size), dtype=torch.uint8, device=self.device)
        if self.rank == 0:
            data.copy_(torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8))
        dist.broadcast(data, 0)
        content = io.BytesIO(data.cpu().numpy().tobytes())
        return torch.load(content, map_location="cpu", weights_only=True)

    def wait_for_all(self) -> None:
        # Barrier before exit: a launcher ends all processes when one exits with an error, so rank 0
        # must have written its files.
        dist.barrier()


def leave() -> None:
    """Leave the process group, if this process has joined one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def run_training(
    model: Path,
    pause_file: Path,
    train: Callable[[Process, Pause], None],
    is_done: Callable[[Path], bool] = is_trained,
) -> int:
    """Join the processes of the launch, and train unless the model exists.

    Args:
        model: file of the trained model.
        pause_file: training pauses while this file exists.
        train: trains and writes the model file.
        is_done: whether a usable model file exists.

    Returns:
        exit code of this process: 0, PAUSED after a request to pause, or that of an error of the
        package, which is reported to the launcher.
    """
    pause = Pause(pause_file)
    pause.listen()
    try:
        process = Ranks.join()
        found = process.shared(process.rank == 0 and is_done(model))
        report_start()  # after the first exchange between all processes
        if found:
            return 0
        if process.device.type == "cuda":
            print(f"process {process.rank} of {process.world} on {process.device}", flush=True)
        train(process, pause)
    except Paused:
        return PAUSED
    except GcdError as error:
        return report_error(error)
    finally:
        leave()
    return 0


def exit_at_once(code: int) -> NoReturn:
    """End this process without Python's clean-up.

    Threads of gloo that still run then can abort the process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
