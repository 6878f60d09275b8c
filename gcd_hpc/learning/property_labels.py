"""Structures with labelled atoms, from which property networks are trained."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.errors import StructureError, TrainingError
from gcd_hpc.learning.property_network import check_elements, check_energies
from gcd_hpc.spectra.table_file import Labelled

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LabelledStructure:
    """One structure of one element whose atoms are labelled, all or some of them."""

    name: str
    group: str
    """Related structures, such as frames of one trajectory, are of one group. Groups are learned or
    held out as a whole."""
    element: str
    positions: Array  # (N, 3) Å
    lengths: Array  # (3,) Å of the periodic box
    values: Array  # (N, K), NaN where there is no label
    energies_ev: tuple[float, ...] | None = None
    """Energies of the K channels; None if the labels state none."""

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or len(self.values) != len(self.positions):
            raise StructureError(
                f"{self.name}: has {len(self.positions)} atoms but labels of shape"
                f" {self.values.shape}; give one row of labels for each atom, NaN where there is"
                " none"
            )

    @property
    def known(self) -> NDArray[np.bool_]:
        """Mask (N,) of the atoms that are labelled in all channels."""
        return np.asarray(np.isfinite(self.values).all(axis=1))


def from_table(
    labelled: Labelled, element: str, edge: str, groups: Sequence[str] | None = None
) -> list[LabelledStructure]:
    """Structures of a table of spectra, NaN where an atom has no spectrum.

    Args:
        element, edge: the absorption edge to learn, such as "C" and "K".
        groups: of each structure, for what is known of their relations; by default every structure
            is a group of its own.

    Raises:
        StructureError: if the table is of another edge, or if a structure has other elements, an
            oblique box or a box that is not periodic.
    """
    table, found = labelled.table, []
    if (table.element, table.edge) != (element, edge):
        raise StructureError(
            f"cannot learn the {element} {edge} edge: the table has spectra of the {table.element}"
            f" {table.edge} edge; label the structures at the {element} {edge} edge"
        )
    energies = None if table.energies_ev is None else tuple(table.energies_ev.tolist())
    for number, atoms in enumerate(labelled.structures):
        name = str(atoms.info.get("name") or f"structure {number}")
        check_elements(atoms.get_chemical_symbols(), element, name)
        cell = atoms.cell.array
        if not (atoms.pbc.all() and np.allclose(cell, np.diag(np.diag(cell)), atol=1e-6)):
            raise StructureError(
                f"{name}: cannot be learned, because its box is not orthorhombic and periodic along"
                " all axes; give it such a box"
            )
        group = name if groups is None else groups[number]
        values = table.dense(number, len(atoms))
        found.append(
            LabelledStructure(
                name, group, element, atoms.positions, np.diag(cell), values, energies
            )
        )
    return found


def labels_of(structures: Sequence[LabelledStructure]) -> Array:
    """Labels (A, K) of all atoms that are labelled in all channels.

    Raises:
        TrainingError: if there are none.
        StructureError: if elements or channels differ.
    """
    for one in structures:
        check_elements([one.element], structures[0].element, one.name)
        check_energies(structures[0].energies_ev, one.energies_ev, one.name)
        if one.values.shape[1] != structures[0].values.shape[1]:
            raise StructureError(
                f"{one.name}: cannot be learned together with {structures[0].name}: expected"
                f" {structures[0].values.shape[1]} channels, got {one.values.shape[1]}; resample"
                " the labels to the same energies"
            )
    labels = np.concatenate([one.values[one.known] for one in structures] or [np.zeros((0, 1))])
    if not len(labels):
        raise TrainingError(
            "cannot train a property network: no atom of the structures has a label; label some"
        )
    return labels
