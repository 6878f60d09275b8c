"""What a child process needs to know of an engine: a LAMMPS potential or an ASE calculator."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Program(Protocol):
    """What a child process runs (``process.EngineProcess``)."""

    @property
    def program(self) -> str:
        """Name of the program for messages, such as LAMMPS."""

    @property
    def worker(self) -> str:
        """Module that the child process runs."""

    @property
    def files(self) -> Mapping[str, Path]:
        """Files that the process finds in its folder, by their names there."""

    @property
    def made(self) -> Mapping[str, bytes]:
        """Contents of further files there, by their names."""


class Engine(Program, Protocol):
    """Source of energies and forces, identified by its content.

    Jobs and results are the same for every engine, and so is the process that runs them (``child``
    and ``process``). An engine says which module that process runs and what it is sent.
    """

    @property
    def remedy(self) -> str:
        """What to do if the program cannot be started."""

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols of the atoms; jobs without atomic numbers are of the first."""

    @property
    def sha256(self) -> str:
        """Hash of all that energies depend on."""

    @property
    def num_cutoffs(self) -> int:
        """Number of cutoffs up to which an atom may change the energy of another."""

    @property
    def is_local(self) -> bool:
        """Whether a part of a structure can be relaxed and evaluated without the rest."""

    @property
    def has_energies(self) -> bool:
        """Whether it gives the energies of single atoms, or only their sum."""

    @property
    def states_cutoff(self) -> bool:
        """Whether evaluations state pressure and cutoff."""

    def check(self, introduction: Mapping[str, Any]) -> None:
        """Refuse a process, by its first message, that does not run this engine."""

    def words(self) -> dict[str, Any]:
        """What every job tells the process of the engine, as plain values."""

    def shortened(self) -> "Engine | None":
        """A quicker engine that moves atoms almost as this one does; None if there is none."""
