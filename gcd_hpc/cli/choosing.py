"""Which run a command is about, where its argument may be a set of boundaries."""

from pathlib import Path
from typing import TYPE_CHECKING

from gcd_hpc.errors import GcdError

if TYPE_CHECKING:
    from gcd_hpc.store.run import Run
    from gcd_hpc.store.run_set import RunSet


def run_or_set(run: Path, boundary: str | None) -> "Path | RunSet":
    """The run, the chosen boundary of a set, or the set where none is chosen.

    Raises:
        GcdError: if the set cannot be read or has no such boundary, or if the run is no set.
    """
    from gcd_hpc.store.run_set import RunSet

    if not RunSet.is_set(run):
        if boundary is not None:
            raise GcdError(f"--boundary {boundary}: {run} is no set of boundaries; leave it out")
        return run
    opened = RunSet.open(run)
    return opened if boundary is None else opened.directory(boundary)


def one_run(run: Path, boundary: str | None, command: str) -> Path:
    """The run or the chosen boundary of a set, for a command that shows one boundary.

    Raises:
        GcdError: as ``run_or_set``, and if no boundary of a set is chosen.
    """
    chosen = run_or_set(run, boundary)
    if isinstance(chosen, Path):
        return chosen
    num = len(chosen.campaigns)
    raise GcdError(
        f"{run}: is a set of {num} boundaries; choose one: gcd-hpc {command}"
        f" {run / 'boundaries' / 'NAME'} (gcd-hpc overview {run} lists them)"
    )


def unique_rows(chosen: "Run", is_unique: bool, num_per_n: int | None = None) -> "Run":
    """Candidates of a run, or only the lowest of each phase with the option ``--unique``.

    Args:
        num_per_n: largest number of phases of one [n]; all if None.
    """
    if not is_unique:
        return chosen
    from gcd_hpc.phases.clustering import unique

    return unique(chosen, num_per_n)
