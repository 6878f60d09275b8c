"""Which run a command is about, where its argument may be a set of boundaries."""

from pathlib import Path
from typing import TYPE_CHECKING

from gcd_hpc.errors import GcdError
from gcd_hpc.store.run_directory import RunDirectory

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
        f" {RunDirectory(run).member('NAME').path} (gcd-hpc overview {run} lists them)"
    )


def narrowed(chosen: "Run", is_unique: bool, per_n: bool = False, num: int | None = None) -> "Run":
    """Candidates of a run that the options ``--unique``, ``--per-n`` and ``--num`` leave.

    Args:
        is_unique: only the lowest candidate of each phase.
        per_n: only the lowest of each [n], ``num`` of each.
        num: only so many of the lowest; all if 0, and if None all, or one of each [n].

    Raises:
        GcdError: for phases or [n] of a material, which has neither.
    """
    if num is None and per_n:
        num = 1
    if is_unique and chosen.is_material:
        raise GcdError(
            f"{chosen.path}: structures of a material have no phases; leave --unique out"
        )
    if is_unique:
        from gcd_hpc.phases.clustering import unique

        chosen = unique(chosen, num or None)
    return chosen.lowest(num or len(chosen), per_n) if num or per_n else chosen
