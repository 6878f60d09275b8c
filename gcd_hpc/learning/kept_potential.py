"""The potential's files that a run keeps, and whether its structures were relaxed with them."""

from pathlib import Path

from gcd_hpc.engines.engine import Engine
from gcd_hpc.errors import PotentialError
from gcd_hpc.files import replacing
from gcd_hpc.store.potentials import references
from gcd_hpc.store.run_directory import RunDirectory


def has_structures_of(run: RunDirectory, potential: Engine) -> bool:
    """Whether the run holds structures, which must be of this potential.

    Raises:
        PotentialError: if they were relaxed with another one.
    """
    # All structures share one potential, so one readable file is enough.
    parts = run.all_relaxed_parts()
    known = next((one.potential_sha256 for part in parts for one in references([part])), None)
    if known is None or known == potential.sha256:
        return known is not None
    files = ", ".join(map(str, potential.files.values())) or potential
    raise PotentialError(
        f"{run.path}: its structures were relaxed with the potential {known}, but {files} now has"
        f" the hash {potential.sha256}; go back to the old potential or choose another --run-dir"
    )


def keep_potential(run: RunDirectory, potential: Engine, has_structures: bool) -> None:
    """Copy the files of a potential into a run.

    Args:
        has_structures: whether the run has structures, so that no copy may be replaced.

    Raises:
        PotentialError: if a copy was edited or damaged.
    """
    for name, file in potential.files.items():
        _copy(file, run.potential / name, may_differ=not has_structures)
    for name, content in potential.made.items():
        run.potential.mkdir(exist_ok=True)
        with replacing(run.potential / name) as temporary:
            temporary.write_bytes(content)


def _copy(file: Path, copy: Path, may_differ: bool) -> None:
    """Copy a potential file unless it is there; a truncated copy is replaced."""
    content = file.read_bytes()
    there = copy.read_bytes() if copy.exists() else b""
    if there == content:
        return
    if not may_differ and not content.startswith(there):
        raise PotentialError(
            f"{copy}: is no longer a copy of {file}, because it was edited or damaged; remove it"
            " and the same command copies it again"
        )
    with replacing(copy) as temporary:
        temporary.write_bytes(content)
