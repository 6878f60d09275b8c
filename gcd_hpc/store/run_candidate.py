"""One candidate of a run, with its structure for ASE."""

import re
from dataclasses import dataclass, field
from pathlib import PurePath

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_numbers

from gcd_hpc.config.material import MATERIAL
from gcd_hpc.errors import StoreError, shortened
from gcd_hpc.store.alloys import symbols_of
from gcd_hpc.store.element_fractions import fractions_of
from gcd_hpc.store.field import Field
from gcd_hpc.store.material_rows import is_material, kind_fields
from gcd_hpc.store.parts import to_columns, without_structure
from gcd_hpc.store.pictures import structure_svg
from gcd_hpc.store.provenance import campaign_of, section_of
from gcd_hpc.store.schema import Candidate

TITLE = re.compile(r"(\S+): E_gb .* potential .+ \(([0-9a-f]+|\?)\)$")
"""A ``RunCandidate.title`` of a boundary: id and beginning of the potential's hash, or ?."""


@dataclass(frozen=True, eq=False, repr=False)
class RunCandidate(Candidate):
    """A candidate with the fields of the schema as attributes, such as ``energies_ev``."""

    element: str = field(kw_only=True)
    """Chemical symbol, of the first of several elements; empty if the file does not name it."""
    potential: str = field(kw_only=True, default_factory=str)
    """Name of the potential or calculator; empty if the file does not name it."""
    is_material: bool = field(kw_only=True, default_factory=bool)
    """Whether it is a structure of a material, periodic in all directions."""
    basis: tuple[str, ...] = field(kw_only=True, default_factory=tuple)
    """Chemical symbols of a compound's basis; empty in a crystal of one element."""

    @property
    def element_fractions(self) -> dict[str, float]:
        """[n] of each element of a compound by its name, such as n_Ni; NaN where not known."""
        found = fractions_of(self.formula, self.atoms_per_plane, self.basis)
        return {f"n_{element}": fraction for element, fraction in found.items()}

    @property
    def title(self) -> str:
        """One line for files of this structure: id, energy, [n], potential and its hash.

        Of a material: id, spectrum error, energy per atom, density, whether it was guided, and the
        potential.
        """
        potential = f"potential {self.potential or 'unknown'} ({self.potential_sha256[:12] or '?'})"
        if self.is_material:
            known = [
                _worded("spectrum error {:.5f}", self.spectrum_error),
                _worded("energy {:.4f} eV an atom", self.energy_ev_atom),
                _worded("density {:.4g} g/cm^3", self.density_g_cm3),
                self.guided,
                potential,
            ]
            return f"{self.id}: {', '.join(filter(None, known))}"
        found = f"E_gb {self.gb_energy_j_m2:.4f} J/m^2, [n] {self.n_fraction:.4g}"
        return f"{self.id}: {found}, {potential}"

    def _repr_html_(self) -> str:
        """The slab from two sides and a table of all known row fields, for notebooks.

        Atoms are coloured by their energy above the crystal's, from white to red, or by element
        where there are several or the structure is not relaxed.
        """
        is_relaxed = bool(np.isfinite(self.positions).all()) and self.status == "ok"
        positions = self.positions if is_relaxed else self.unrelaxed_positions
        if not self.element or not np.isfinite(positions).all():
            return super()._repr_html_()
        symbols = symbols_of(self.numbers, self.element)
        numbers = np.array([atomic_numbers[symbol] for symbol in symbols])
        # A material has no crystal that energies could be compared with.
        has_energies = is_relaxed and len(set(numbers.tolist())) == 1 and not self.is_material
        excess = self.energies_ev - self.cohesive_ev if has_energies else None
        return structure_svg(positions, numbers, excess) + super()._repr_html_()

    def to_atoms(self, relaxed: bool = True) -> Atoms:
        """ASE ``Atoms`` of the structure, with every known field of the schema in ``info``.

        Of a compound the [n] of each element is there too, such as ``n_Ni``.
        Relaxed atoms have a ``title`` there, which the files of an export carry too.

        Args:
            relaxed: True for the relaxed structure with total and atomic energies as ASE results,
                eV; False for the structure before relaxation, without energies.

        Raises:
            StoreError: if ``relaxed`` and the candidate was never relaxed.
        """
        if relaxed and not np.isfinite(self.positions).all():
            raise StoreError(
                f"{self.id}: there is no relaxed structure, as its status is"
                f" {self.status}{f' ({self.reason})' if self.reason else ''};"
                " to_atoms(relaxed=False) returns the unrelaxed one"
            )
        if not self.element:
            raise no_element(self.id)
        if len(without_structure(to_columns([self]))):
            raise StoreError(
                f"{self.id}: positions, energies or box are not finite or not plausible; gcd-hpc"
                " verify lists what is wrong with the file"
            )
        positions = self.positions if relaxed else self.unrelaxed_positions
        symbols = symbols_of(self.numbers, self.element)
        atoms = Atoms(symbols, positions, cell=self.box, pbc=(True, True, self.is_material))
        fields = kind_fields(self.is_material)
        known = {field: getattr(self, field.name) for field in fields}
        atoms.info = {
            field.name: value
            for field, value in known.items()
            if field.name not in ("cell", "tilt_a", "num_atoms") and _is_known(field, value)
        }
        known_fractions = self.element_fractions.items()
        atoms.info |= {name: value for name, value in known_fractions if np.isfinite(value)}
        if relaxed:
            energies = np.asarray(self.energies_ev)
            total = float(energies.sum())
            atoms.info["title"] = self.title
            atoms.calc = SinglePointCalculator(atoms, energy=total, energies=energies)
        return atoms


def elements_of(config: str) -> tuple[str, ...]:
    """Chemical symbols of the boundary or material of a file's attribute ``config``.

    Empty if it names no known ones.
    """
    section = section_of(config, MATERIAL if is_material(config) else "boundary")
    given = section.get("elements") or [section.get("element")]
    is_known = isinstance(given, list) and all(one in atomic_numbers for one in given)
    return tuple(given) if is_known else ()


def potential_name(config: str) -> str:
    """Name of the potential in a file's attribute ``config``: that of its files, else of its style.

    Empty if the attribute names none.
    """
    campaign = campaign_of(config)
    potential, calculator = campaign.get("potential"), campaign.get("calculator")
    if isinstance(potential, dict):
        files = potential.get("files")
        paths = [potential.get("file"), *(files.values() if isinstance(files, dict) else [])]
        names = [PurePath(str(path)).name for path in paths if path]
        return shortened("+".join(names) or str(potential.get("pair_style", "")))
    name = calculator.get("name") if isinstance(calculator, dict) else None
    return shortened(str(name or ""))


def _worded(text: str, value: float) -> str:
    """The text with a number in it; empty if the number is not known."""
    return text.format(value) if np.isfinite(value) else ""


def no_element(place: object) -> StoreError:
    return StoreError(
        f"{place}: has no structures for use elsewhere, because the attribute config of the file"
        " names no known boundary.element or material.element; gcd-hpc verify lists all faults"
    )


def _is_known(field: Field, value: object) -> bool:
    if isinstance(value, str):
        return value != ""
    if field.kind == "int" and field.since > 1:
        return bool(value != field.default)  # the default stands for a field an older file lacks
    return bool(np.isfinite(np.asarray(value, dtype=float)).all())
