"""Experiments: those named after the figures of the paper, and those of our own."""

import time
from importlib import import_module
from pathlib import Path
from typing import Literal

from gcd_hpc.errors import ConfigError, RunDirectoryError, did_you_mean
from gcd_hpc.experiments.work import Workshop

# Name -> module of this package with a function ``NAME(workshop) -> Outcome``, imported when the
# experiment runs.
EXPERIMENTS = {
    "fig1": "crystals",
    "fig2": "start_noise",
    "fig4": "crystals",
    "fig6": "boundary",
    "figS1": "carbon",
    "figS2": "crystals",
    "figS3": "boundary",
    "ablations": "ablations",
    "ask_n": "ask_n",
    "image": "image",
    "transfer": "transfer",
    "ranking": "ranking",
    "k1": "spectra_forward",
    "k2": "spectra_guided",
    "k3": "spectra_scale",
}


def reproduce(
    name: str, budget: Literal["quick", "full"], seed: int, out: Path, command: str
) -> list[Path]:
    """Run or resume one experiment; return the paths of its NAME.json, NAME.png and NAME.svg.

    The quick budget counts core-seconds and uses no GPU; the full one uses a GPU if there is one.

    Raises:
        ConfigError: if there is no such experiment.
        RunDirectoryError: if ``out`` is not a writable folder.
    """
    if name not in EXPERIMENTS:
        problem = f"must be one of {', '.join(EXPERIMENTS)}, got {name}"
        hint = did_you_mean(name, EXPERIMENTS)
        raise ConfigError("gcd-hpc reproduce", "EXPERIMENT", problem + hint)
    _make_folder(out)
    # A late import: torch takes seconds, and errors of the command must come first.
    import torch

    from gcd_hpc.experiments.outcome import write_outcome

    device = "cuda" if budget == "full" and torch.cuda.is_available() else "cpu"
    workshop = Workshop(out.resolve(), budget, seed, device)
    started = time.monotonic()
    outcome = getattr(import_module(f"gcd_hpc.experiments.{EXPERIMENTS[name]}"), name)(workshop)
    return write_outcome(workshop, name, outcome, command, time.monotonic() - started)


def _make_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise RunDirectoryError(
            f"--out {out}: cannot be the folder of the results, because it is a file; name another"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunDirectoryError(
            f"--out {out}: the folder cannot be made: {error.strerror}; name another"
        ) from error
