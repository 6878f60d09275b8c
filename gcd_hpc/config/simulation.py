"""How a boundary is simulated: the potential, the random search and relaxations.

Lengths are in Å, energies in eV or, where the name says so, in J/m^2.
"""

import re
from math import ceil
from typing import Literal

from pydantic import Field, field_validator, model_validator

from gcd_hpc.config.section import (
    Auto,
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Section,
    refuse,
)

MIN_OUTER = 8.0
"""Smallest height of the held layers where it is not given, Å."""
CALCULATORS = ("emt", "chgnet", "mace", "sevennet", "orb")
"""ASE calculators that have names of their own."""
POTENTIAL_COMMANDS = ("pair_modify", "comm_modify", "neigh_modify")
"""LAMMPS commands that may follow a potential; none of them runs a program or reads a file."""


_NAME = re.compile(r"\{(\w+)\}")
"""Name that stands for a file."""


class PotentialConfig(Section):
    """An interatomic potential in LAMMPS' own words, required unless engine is ase.

    Every file that pair_style or pair_coeff names is looked for in the campaign file's folder, then
    in LAMMPS_POTENTIALS, then among the potentials that LAMMPS ships. The run keeps a copy of it.
    """

    pair_style: str
    """Name and arguments of LAMMPS' pair_style. Files in it are named as in pair_coeff."""
    pair_coeff: str | tuple[str, ...]
    """Arguments of pair_coeff: one text, or a list with one text for each pair_coeff command.
    ``{file}`` stands for the potential file, and ``{name}`` for the one with this name in files.
    Both may stand several times.
    """
    file: str | None = None
    """The potential file, which ``{file}`` stands for."""
    files: dict[str, str] = Field(default_factory=dict)
    """Files of a potential that has several, each with a name of yours: ``{library}`` stands for
    the file of ``files: {library: library.meam}``.
    """
    accelerator: Literal["none", "opt", "omp", "intel", "gpu", "kokkos"] = "none"
    """Package of LAMMPS whose variants of the pair style are run where it has some, such as
    eam/alloy/gpu for gpu. gpu and kokkos need GPUs: set relaxation.gpus_per_node of the site.
    Energies differ in rounding, so that it is a part of the potential's identity.
    """
    commands: tuple[str, ...] = ()
    """Further LAMMPS commands that the potential needs: pair_modify, comm_modify or neigh_modify
    with their arguments. They follow pair_coeff.
    """

    @property
    def coefficients(self) -> tuple[str, ...]:
        """Arguments of each pair_coeff command."""
        texts = (self.pair_coeff,) if isinstance(self.pair_coeff, str) else self.pair_coeff
        return tuple(line for text in texts for line in text.splitlines() if line.strip())

    @property
    def paths(self) -> dict[str, str]:
        """Paths of the potential's files by the names that stand for them in braces."""
        return self.files if self.file is None else {"file": self.file, **self.files}

    @field_validator("commands")
    @classmethod
    def _may_be_run(cls, commands: tuple[str, ...]) -> tuple[str, ...]:
        for command in commands:
            if command.split()[:1] not in [[name] for name in POTENTIAL_COMMANDS]:
                refuse(f"must begin with one of {', '.join(POTENTIAL_COMMANDS)}, got {command!r}")
        return commands

    @model_validator(mode="after")
    def _files_are_used(self) -> "PotentialConfig":
        if self.file is not None and "file" in self.files:
            refuse("must not name a file twice: file stands for that of the key file", "files")
        used = set(_NAME.findall("\n".join([self.pair_style, *self.coefficients])))
        for name, path in self.paths.items():
            if not re.fullmatch(r"\w+", name):
                refuse(f"must have names of letters and digits, got {name!r}", "files")
            if name not in used:
                refuse(
                    f"must contain {{{name}}}, where the path of {path} goes, got"
                    f" {self.pair_coeff!r}",
                    "pair_coeff",
                )
        for name in sorted(used - self.paths.keys()):
            if name == "file":
                refuse("is required, because pair_coeff contains {file}", "file")
            refuse(f"must name the file of {{{name}}}, got {list(self.files)}", "files")
        return self


class CalculatorConfig(Section):
    """An ASE calculator, required where engine is ase. ``calculator: emt`` is short for a section
    with this name alone. See docs/engines.md.
    """

    name: str
    """emt, chgnet, mace, sevennet or orb, or a Python path ``module:callable`` to what makes the
    calculator. The module is installed or lies beside the campaign file. Naming it runs its code.
    """
    arguments: dict[str, str | bool | int | float | None] = Field(default_factory=dict)
    """Keyword arguments of the callable. A text that names a file beside the campaign file becomes
    the file's path.
    """
    atom_energies: bool = True
    """Use the energies of single atoms if the calculator has them. If not, E_gb follows from the
    total energy less that of two free surfaces.
    """

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in CALCULATORS and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name):
            refuse(
                f"must be one of {', '.join(CALCULATORS)}, or a Python path module:callable, got"
                f" {name!r}"
            )
        return name


class MolecularDynamicsConfig(Section):
    """Molecular dynamics before a relaxation."""

    temperature_k: tuple[PositiveFloat, PositiveFloat] = (1000.0, 2500.0)
    """Lowest and highest temperature, drawn uniformly, K."""
    num_steps: tuple[PositiveInt, PositiveInt] = (5000, 100000)
    """Smallest and largest number of steps, drawn log-uniformly."""
    timestep_ps: PositiveFloat = 0.002
    """Time step, ps."""
    cooled_to: Fraction = 1.0
    """Share of the temperature to which it falls linearly until the end. 1 keeps it constant."""

    @field_validator("temperature_k", "num_steps")
    @classmethod
    def _ascending(cls, limits: tuple[float, float]) -> tuple[float, float]:
        if limits[0] > limits[1]:
            refuse(f"must be [lowest, highest], got [{limits[0]:g}, {limits[1]:g}]")
        return limits


class SearchDynamicsConfig(MolecularDynamicsConfig):
    """Molecular dynamics by which some tries of the search are annealed."""

    probability: Fraction = 0.0
    """Share of the tries that are annealed."""


class SearchConfig(Section):
    """Grand canonical random search. A try shifts the upper grain, removes atoms of one plane,
    perturbs the others, anneals some structures and relaxes all.
    """

    num_tries: NonNegativeInt
    """Number of tries before the first model. 0 needs a model that the campaign starts from."""
    perturbation: NonNegativeFloat = 0.3
    """Largest displacement along each axis, of atoms about one plane spacing from the boundary."""
    solutes: dict[str, tuple[NonNegativeInt, NonNegativeInt]] = Field(default_factory=dict)
    """Smallest and largest number of atoms of each solute in a try, drawn evenly, by its symbol.
    They take the places of atoms within 5.5 Å of the boundary. Without it tries are free of
    solutes, and only moves of exploration bring them in.
    """
    md: SearchDynamicsConfig = SearchDynamicsConfig()
    chunk_size: PositiveInt = 50
    """Tries of one task, which writes one part file."""
    tiles_of: tuple[str, ...] = ()
    """Runs or result files of the same boundary in smaller in-plane cells, looked for in the
    campaign file's folder and then in the working directory. Their lowest structures, repeated to
    this cell, take the place of the first random tries.
    """
    tiles_per_n: PositiveInt = 3
    """Number of lowest unique structures of each [n] that are taken from each of these runs."""

    @field_validator("solutes")
    @classmethod
    def _ascend(cls, solutes: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        for symbol, (fewest, most) in solutes.items():
            if fewest > most:
                refuse(f"must be [fewest, most] for {symbol}, got [{fewest}, {most}]")
        return solutes


class RelaxationConfig(Section):
    """Relaxation with conjugate gradients in LAMMPS: loosely for all structures, then with the
    preset for those whose energies are low.
    """

    preset: Literal["paper", "tight"] = "tight"
    """Tolerances of the final relaxation: those of the paper, or tighter ones.
    docs/science.md#tolerances compares them.
    """
    screen: bool = True
    """Relax loosely first, and finish only structures within screen_window_j_m2 of the lowest
    energy of their [n].
    """
    screen_window_j_m2: NonNegativeFloat = 1.0
    """How far above the lowest energy of its [n] a structure is still finished."""
    outer_thickness: PositiveFloat | Auto = "auto"
    """Height of the layers that are held at the bottom, and of those that move as one rigid body at
    the top. At least the reach of the potential, which is the cutoff, or twice that where an atom
    shares energy with its neighbours' neighbours: auto is the reach rounded up to 0.5 Å, and at
    least 8 Å.
    """
    timeout_s: PositiveFloat = 12.0
    """Processor time that LAMMPS may use for every thousand atoms begun, of a potential that is as
    quick as embedded atoms; slower ones have more, in proportion to the time of one evaluation. A
    structure that needs more is tried once more and then recorded as failed. Waiting for a busy
    processor does not count.
    """


def outer_layers(given: float | Auto, reach: float | None) -> float:
    """Height of the held layers, Å: as given, or from the potential's reach.

    Args:
        reach: Å; None while it is unknown.
    """
    if given != "auto":
        return given
    return max(MIN_OUTER, ceil(2 * (reach or 0.0)) / 2)
