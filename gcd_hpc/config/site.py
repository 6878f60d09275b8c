"""The site file: where the stages run. Only the local machine so far; nothing here changes a result."""

import os

from pydantic import PositiveInt, field_validator

from gcd_hpc.config.campaign import Auto, Section, refuse


class SiteConfig(Section):
    """One kind of machine; ``auto`` takes what this process may use."""

    name: str = "local"
    cores: PositiveInt | Auto = "auto"
    """Cores of the whole campaign; auto is the number this process may run on."""
    training_processes: PositiveInt | Auto = "auto"
    """torchrun processes; auto is one a core."""
    sampling_ranks: PositiveInt | Auto = "auto"
    """MPI ranks; auto is one a core."""
    relaxation_workers: PositiveInt | Auto = "auto"
    """Parsl workers with one LAMMPS each; auto is one a core."""
    mpiexec: str = "mpiexec"
    """The MPI launcher, a command or a path; looked for beside the running Python first."""

    @field_validator("name", "mpiexec")
    @classmethod
    def _not_empty(cls, value: str) -> str:
        if not value.strip():
            refuse("must not be empty")
        return value

    def resolved(self) -> "SiteConfig":
        """The same site with a number for every ``auto``."""
        cores = len(os.sched_getaffinity(0)) if self.cores == "auto" else self.cores
        return self.model_copy(update={key: cores for key, value in self if value == "auto"})
