"""Commands for files of results: verification, merging and archives."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gcd_hpc.cli.choosing import one_run, run_or_set
from gcd_hpc.cli.options import Boundary, Json, Results, Selection
from gcd_hpc.cli.output import console, print_json, written
from gcd_hpc.errors import GcdError


def verify(path: Results, boundary: Boundary = None, json: Json = False) -> None:
    """Verify a run or a file: layout, checksums, missing files, physics.

    E_gb is recomputed from the stored energies of the atoms, [n] from their number and the
    boundary. Of a set, all boundaries that hold candidates are verified, and their shared model.
    The exit code is 1 if anything is wrong.

    \b
    Examples:
      gcd-hpc verify runs/w_sigma5
      gcd-hpc verify results.h5 --json
    """
    from gcd_hpc.browse.checks import checks_view
    from gcd_hpc.campaign.inventory import files_of, verify_tasks
    from gcd_hpc.campaign.inventory import verify as look_at
    from gcd_hpc.store.findings import Report

    report, chosen = Report(), run_or_set(path, boundary)
    runs = [chosen] if isinstance(chosen, Path) else [run.path for run in chosen.members.values()]
    if not runs:
        raise GcdError(f"{path}: cannot be verified, because no boundary holds candidates yet")
    sizes = (file.stat().st_size for run in runs for file in files_of(run))
    with progress("Verifying", sum(sizes)) as advance:
        for run in runs:
            look_at(run, report, advance)
        if not isinstance(chosen, Path):
            verify_tasks(chosen.path, report)
    if json:
        print_json({"path": str(path), **report.record()})
    else:
        console().print(checks_view(path, report))
    if not report.is_sound:
        raise typer.Exit(1)


def merge(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run directories or HDF5 files of results."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="F", help="HDF5 file to write.")],
    json: Json = False,
) -> None:
    """Merge runs of one boundary into one file without duplicates.

    Of structures with the same [n], energy (to 0.002 J/m^2) and fingerprint the lowest in energy is
    kept. Ids are prefixed with the name of their run: w_sigma5.model-01-000045.

    \b
    Examples:
      gcd-hpc merge runs/w_sigma5 runs/w_sigma5_seed1 --out both.h5
      gcd-hpc merge everything.h5 runs/new --out more.h5 --json
    """
    from gcd_hpc.browse.checks import merged_table
    from gcd_hpc.store.index import RunStore
    from gcd_hpc.store.merge import merge as combine

    runs = [one_run(run, None, "merge") for run in runs]
    size = sum(path.stat().st_size for run in runs for path in RunStore(run).part_paths())
    with progress("Merging", 2 * size) as advance:
        merged = combine(runs, out, advance)
    if json:
        print_json({"out": str(out), **merged.record()})
    else:
        console().print(merged_table(merged))
        written(out, f"{merged.num_kept} candidates")


def archive(
    run: Results,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="F", help="Zip to write (NAME.zip), or new folder."),
    ],
    select: Selection = "",
    boundary: Boundary = None,
) -> None:
    """Write all that is needed to check and repeat a run, readable without gcd-hpc.

    The archive holds all candidates (or those of --select), the campaign, the potential with a note
    on whose work it is, models, ledger, versions of all packages, checksums for sha256sum -c, a
    README, and read_results.py, which needs h5py and numpy only. It is a run directory itself.
    Paths, hosts and process numbers of this machine are left out. The same run gives the same
    bytes. Nothing is written into the run. Of a set, the archive has a folder for each boundary.

    \b
    Examples:
      gcd-hpc archive runs/w_sigma5 --out w_sigma5.zip
      gcd-hpc archive runs/w_sigma5 --select "energy<2.5" --out lowest
    """
    from gcd_hpc.browse.archiving import write_archive

    chosen = run_or_set(run, boundary)
    num = write_archive(chosen if isinstance(chosen, Path) else chosen.path, out, select)
    written(out, f"{num} files")


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Progress bar on standard error, if it is a terminal; yields the function that advances it."""
    from rich.console import Console
    from rich.progress import Progress

    terminal = Console(stderr=True)
    with Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda step: bar.advance(task, step)
