"""ASE calculators as engines: which one a name means, and what it takes to run it again."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase.data import atomic_numbers, reference_states

from gcd_hpc.config.simulation import CalculatorConfig
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.loading import SPECIFICATION
from gcd_hpc.errors import LaunchError, PotentialError, SimulationError
from gcd_hpc.structures.lattices import conventional_cell, typical_a0

BOUND_EV = -0.5
"""Energy per atom that a crystal has at most; above, energies are not relative to free atoms."""
ELEMENTARY = ("fcc", "bcc", "sc", "diamond", "hcp")
"""Lattices of one element."""
FREE_ATOM_BOX = 20.0
"""Edge of the box of a free atom, Å."""
TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Known:
    """A calculator with a name of its own."""

    path: str
    install: str
    """Command that installs it; empty if it comes with ASE."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Arguments unless the campaign gives others."""
    weights: str = ""
    """Argument that names a file of weights, if weights may have to be downloaded."""


KNOWN = {
    "emt": Known("ase.calculators.emt:EMT", ""),
    "chgnet": Known(
        "chgnet.model.dynamics:CHGNetCalculator",
        "pip install chgnet",
        {"return_site_energies": True, "on_isolated_atoms": "ignore"},
    ),
    "mace": Known(
        "mace.calculators:mace_mp",
        "pip install mace-torch",
        {"model": "small", "default_dtype": "float64"},
        "model",
    ),
    "sevennet": Known(
        "sevenn.calculator:SevenNetCalculator",
        "pip install sevenn",
        {"model": "7net-0"},  # its weights are in the package
        "model",
    ),
    "orb": Known("gcd_hpc.engines.orb:calculator", "pip install orb-models", {}, "weights"),
}


@dataclass(frozen=True)
class AseCalculator:
    """An ASE calculator that was loaded once, and what identifies it."""

    name: str
    """Name or path as the campaign gives it."""
    arguments: Mapping[str, Any]
    wants_energies: bool
    """Whether energies of single atoms are used where the calculator has them."""
    folder: Path
    """Folder of the campaign file, where modules and files of the arguments may lie."""
    elements: tuple[str, ...]
    identity: Mapping[str, str] = field(default_factory=dict)
    """Versions and hashes by which the calculator is known again; empty before it was loaded."""
    has_energies: bool = True
    """Whether it gives energies of single atoms."""
    zeros_ev: tuple[float, ...] = ()
    """Energies of free atoms that are subtracted, one for each element, eV."""

    worker: ClassVar[str] = "gcd_hpc.engines.ase_worker"
    num_cutoffs: ClassVar[int] = 1
    is_local: ClassVar[bool] = False
    states_cutoff: ClassVar[bool] = False

    def __str__(self) -> str:
        return f"ASE calculator {self.name}"

    @property
    def program(self) -> str:
        """Name for messages."""
        return f"the calculator {self.name}"

    @property
    def path(self) -> str:
        """Module and callable."""
        return KNOWN[self.name].path if self.name in KNOWN else self.name

    @property
    def remedy(self) -> str:
        """What to do if the calculator cannot be loaded."""
        known = KNOWN.get(self.name)
        if known is None:
            return (
                "name a callable as module:callable, whose module is installed or lies beside the"
                " campaign file"
            )
        return f"install it with {known.install}" if known.install else "install ASE again"

    @property
    def numbers(self) -> tuple[int, ...]:
        """Atomic numbers of the elements."""
        return tuple(atomic_numbers[element] for element in self.elements)

    @property
    def sha256(self) -> str:
        """Hash of what identifies the calculator, of the elements and of the zero of energy."""
        what = [sorted(self.identity.items()), self.elements, self.zeros_ev, self.has_energies]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    @property
    def files(self) -> Mapping[str, Path]:
        """No files: the calculator's package has them."""
        return {}

    @property
    def made(self) -> Mapping[str, bytes]:
        """What the process has to load, and what it is known by."""
        content = {
            "path": self.path,
            "arguments": dict(self.arguments),
            "atom_energies": self.wants_energies,
            "folder": str(self.folder.absolute()),
            "identity": dict(self.identity),
            "has_energies": self.has_energies,
            "zeros_ev": list(self.zeros_ev),
        }
        return {SPECIFICATION.name: (json.dumps(content, indent=1) + "\n").encode()}

    def words(self) -> dict[str, Any]:
        """Element of atoms without atomic numbers, and the zero of energy, for the process."""
        zeros = list(zip(self.numbers, self.zeros_ev, strict=False))
        return {"first_number": self.numbers[0], "zeros_ev": zeros}

    def shortened(self) -> None:
        """No calculator has a quicker form."""
        return None

    def check(self, introduction: Mapping[str, Any]) -> None:
        """Refuse a process whose calculator is not this one.

        Raises:
            LaunchError: if the calculator could not be loaded.
            PotentialError: if it is another version, or has other weights.
        """
        problem = introduction.get("problem")
        if problem is not None:
            known = KNOWN.get(self.name)
            remedy = self.remedy
            if introduction["is_installed"] and known is not None and known.weights:
                remedy = (
                    "if its weights cannot be downloaded here, name a file of them by"
                    f" calculator.arguments.{known.weights}"
                )
            raise LaunchError(f"{self.program} cannot be loaded: {problem}; {remedy}")
        found = introduction["identity"]
        for key, expected in self.identity.items():
            if found.get(key) != expected:
                raise PotentialError(
                    f"{self.program} is not the one of this run: its {key} was {expected} and is"
                    f" {found.get(key)} now; go back to the old one or begin another run"
                )


def find_calculator(
    config: CalculatorConfig, elements: Sequence[str], lattice: str | None, folder: Path
) -> AseCalculator:
    """Load the calculator of a campaign in a process of its own, and try it on every element.

    Args:
        folder: of the campaign file.
        lattice: of the crystal. Elements are tried in it too, or in one of their own if it is a
            compound or comes from files.

    Raises:
        LaunchError: if it is not installed or cannot be imported.
        PotentialError: if it does not know an element.
    """
    draft = _draft(config, elements, folder)
    with Child(draft, TIMEOUT_S) as child:
        introduction = child.introduction()
        draft = replace(
            draft,
            identity=introduction["identity"],
            has_energies=introduction["has_energies"],
        )
        zeros = [_zero(child, draft, element, lattice) for element in elements]
    return replace(draft, zeros_ev=tuple(zeros))


def kept_calculator(
    config: CalculatorConfig, elements: Sequence[str], folder: Path
) -> AseCalculator:
    """The calculator of a run as ``find_calculator`` found it; ``Child`` checks it when loading.

    Args:
        folder: the run's folder of the potential.

    Raises:
        PotentialError: if its record is missing or damaged.
    """
    path = folder / SPECIFICATION.name
    try:
        kept = json.loads(path.read_text())
        return replace(
            _draft(config, elements, Path(kept["folder"])),
            identity=dict(kept["identity"]),
            has_energies=bool(kept["has_energies"]),
            zeros_ev=tuple(kept["zeros_ev"]),
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise PotentialError(
            f"{path}: the record of the calculator cannot be read ({error!r}); remove the file and"
            " run the campaign's command again"
        ) from error


def _draft(config: CalculatorConfig, elements: Sequence[str], folder: Path) -> AseCalculator:
    known = KNOWN.get(config.name)
    arguments = {**(known.arguments if known else {}), **config.arguments}
    return AseCalculator(config.name, arguments, config.atom_energies, folder, tuple(elements))


def _zero(child: Child, draft: AseCalculator, element: str, lattice: str | None) -> float:
    """Energy of a free atom if energies are relative to something else, otherwise 0, eV.

    EMT, for example, gives energies relative to the crystal.
    """
    is_own = lattice in ELEMENTARY
    tried = lattice if lattice in ELEMENTARY else _lattice_in_tables(element)
    atoms = conventional_cell(tried, element, typical_a0(element, tried))
    box = np.array([np.zeros(3), atoms.cell.lengths()])
    try:
        crystal = child.evaluate(atoms.positions, box, periodic_z=True, numbers=atoms.numbers)
        if crystal.energies.mean() < BOUND_EV:
            return 0.0
        free_box = np.array([np.zeros(3), np.full(3, FREE_ATOM_BOX)])
        middle = free_box.mean(axis=0, keepdims=True)
        free = child.evaluate(middle, free_box, periodic_z=True, numbers=atoms.numbers[:1])
    except SimulationError as error:
        raise PotentialError(
            f"{draft.program} cannot compute {element}: {error}; choose a calculator that knows it"
        ) from error
    zero = float(free.energies.sum())
    # An element of a compound may have another crystal, or none, as oxygen has.
    if is_own and crystal.energies.mean() - zero > BOUND_EV:
        raise PotentialError(
            f"{draft.program} gives {element} no bound {tried} crystal: its energy per atom is"
            f" {crystal.energies.mean() - zero:.3f} eV relative to a free atom; choose another"
            " calculator"
        )
    return zero


def _lattice_in_tables(element: str) -> str:
    """Lattice that tables give an element, or fcc."""
    reference = reference_states[atomic_numbers[element]] or {}
    symmetry = str(reference.get("symmetry"))
    return symmetry if symmetry in ELEMENTARY else "fcc"
