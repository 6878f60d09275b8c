"""Commands that train a model of many boundaries and show what a model has learned."""

import signal
import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from gcd_hpc.cli.options import Json, one_of_these
from gcd_hpc.cli.output import console, phases_bar, print_json, resume_hint, say, written
from gcd_hpc.errors import GcdError

SHORTCUTS = {
    "num_steps": "training.num_steps",
    "batch_size": "training.batch_size",
    "width": "network.width",
    "blocks": "network.num_blocks",
}
"""Keys of a campaign file that have an option of their own."""


def model_train(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run directories of campaigns or of sets."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Model file to write.")],
    hold_out: Annotated[
        list[str] | None,
        typer.Option(
            "--hold-out",
            metavar="NAME",
            help="Run, pattern or element of which nothing is learned; may be repeated.",
        ),
    ] = None,
    num_steps: Annotated[
        int | None, typer.Option("--num-steps", min=1, help="Number of training steps.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Structures in one step.")
    ] = None,
    width: Annotated[
        int | None, typer.Option("--width", min=1, help="Channels of the network's first level.")
    ] = None,
    blocks: Annotated[
        int | None, typer.Option("--blocks", min=1, help="Residual blocks of each level.")
    ] = None,
    campaign: Annotated[
        Path | None,
        typer.Option(
            "--campaign",
            "-c",
            metavar="FILE",
            help="Campaign file whose sections network, diffusion and training are used.",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a key of network, diffusion or training; may be repeated.",
        ),
    ] = None,
    dtype: Annotated[
        str,
        one_of_these(
            "--dtype", ("float32", "bfloat16"), "Number format in the file; bfloat16 halves it."
        ),
    ] = "float32",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of all random numbers.")] = 0,
    processes: Annotated[
        int, typer.Option("--processes", min=1, help="Processes that share each step.")
    ] = 1,
) -> None:
    """Train one model from the structures of several finished runs.

    The run of a set stands for all its boundaries. Of each run the structures are chosen as for the
    training in its own campaign. All boundaries are drawn equally often; the samples of one step
    are of one boundary. Files that the training needs lie in FILE.training until FILE is written.
    Ctrl-C pauses with a checkpoint, and the same command goes on from it.

    Boundaries that are held out are not learned from; their loss is stated in the model's card, as
    is that on a twentieth of the structures of each other boundary.

    \b
    Examples:
      gcd-hpc model train runs/w_sigma5 runs/w_sigma5_seed1 --out tungsten.safetensors
      gcd-hpc model train runs/cu_tilts --out cu.safetensors --hold-out s5_210 --num-steps 5000
      gcd-hpc model train runs/* --out all.safetensors --hold-out W --width 24 --dtype bfloat16
    """
    from gcd_hpc.config.loader import load_learning
    from gcd_hpc.stages.model_job import ModelJob, prepare_job, runs_of
    from gcd_hpc.store.training_folder import TrainingFolder

    if out.exists():
        raise GcdError(f"{out}: exists already; remove it or name another --out")
    values = {"num_steps": num_steps, "batch_size": batch_size, "width": width, "blocks": blocks}
    given = [f"{SHORTCUTS[name]}={value}" for name, value in values.items() if value is not None]
    learning = load_learning(campaign, [*(overrides or []), *given])
    job = ModelJob(
        runs=runs_of(runs, hold_out or []), learning=learning, seed=seed, dtype=cast(Any, dtype)
    )
    folder = TrainingFolder(out)
    prepare_job(folder, job, say)
    _train(folder, processes)
    written(out, f"a model of {sum(not run.is_held_out for run in job.runs)} boundaries")


def _train(folder: Any, processes: int) -> None:
    """Train with a progress bar until the model is written; Ctrl-C and SIGTERM pause."""
    from gcd_hpc.workers.backend import PausedError
    from gcd_hpc.workers.model_training import ModelTraining

    def pause(*_: object) -> None:
        folder.pause.touch()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, pause)
    try:
        ModelTraining(folder, processes).run(console())
    except PausedError:
        say(f"{folder.model}: paused; {resume_hint()}")
        sys.exit(0)


def model_energy(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run directories of campaigns or of sets."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Model file to write.")],
    num_steps: Annotated[
        int | None, typer.Option("--num-steps", min=1, help="Number of training steps.")
    ] = None,
    width: Annotated[
        int | None, typer.Option("--width", min=1, help="Width of both networks.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of all random numbers.")] = 0,
) -> None:
    """Train a model that tells the relaxed energy of a structure before its relaxation.

    It learns from all relaxed candidates of finished runs, high energies included, which must be of
    one potential. One network looks at atoms and ranks structures, the other looks at noisy voxels
    and guides generation. Second ones, which take as long, learn without every fourth [n], and
    their errors there measure how far both can be relied on.

    \b
    Examples:
      gcd-hpc model energy runs/w_sigma5 --out energy.safetensors
      gcd-hpc model energy runs/cu_tilts --out cu_energy.safetensors --num-steps 4000
    """
    from gcd_hpc.stages.energy_job import train_from_runs

    if out.exists():
        raise GcdError(f"{out}: exists already; remove it or name another --out")
    with phases_bar("training") as advance:
        model = train_from_runs(
            runs, out, num_steps, width, seed, lambda step, num: advance(step, num, "")
        )
    told = model.card.rank_correlation
    measured = "not measured" if told is None else f"{told:.2f}"
    written(
        out,
        f"an energy model of {model.card.num_rows:,} candidates, rank correlation within one [n]"
        f" held out: {measured}",
    )


def model_show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Model file, or builtin.")],
    boundaries: Annotated[
        bool, typer.Option("--boundaries", help="A line for each boundary, however many there are.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what a model has learned from, at what cost and how well.

    FILE is what gcd-hpc model train wrote, a model of a campaign, such as
    RUN/models/01/model.safetensors, or builtin for the one that comes with the package. The
    hold-out loss is that on structures the model has not learned from; it is stated for each
    boundary, or for each metal if there are more than 30 boundaries. Old files state less. Of an
    energy model the measured spread is shown instead.

    \b
    Examples:
      gcd-hpc model show builtin
      gcd-hpc model show builtin --boundaries
      gcd-hpc model show runs/w_sigma5/models/02/model.safetensors --json
    """
    from gcd_hpc.browse.energy_models import energy_record, energy_view, is_energy_model
    from gcd_hpc.browse.models import model_record, model_view
    from gcd_hpc.config.starting import BUILTIN, BUILTIN_FILE

    path = BUILTIN_FILE if str(file) == BUILTIN else file
    is_energy = is_energy_model(path)
    record = energy_record(path) if is_energy else model_record(path)
    if json:
        print_json(record)
    elif is_energy:
        console().print(energy_view(record))
    else:
        console().print(*model_view(record, boundaries))
