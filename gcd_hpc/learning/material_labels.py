"""Spectra of a material's atoms as what its property network learns.

The spectrum of a structure is the mean of its atoms' spectra, each of a mean level of 1 over the
window. Levels of atoms differ by a few percent, so that this mean and the normalised mean of the
spectra as they are differ by about 0.005 RMS.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.learning.material import MaterialSystem
from gcd_hpc.learning.property_labels import LabelledStructure, from_table
from gcd_hpc.spectra.align import normalized
from gcd_hpc.spectra.table_file import Labelled

Array = NDArray[np.float64]


def labelled_structures(
    system: MaterialSystem, tables: Sequence[Labelled]
) -> list[LabelledStructure]:
    """Structures of tables with their spectra, each of a mean level of 1.

    The name of a structure in a table is that of its group and its id, ``GROUP/ID``.

    Raises:
        StoreError: if a spectrum has no positive area.
    """
    found = []
    labelling, element = system.config.labelling, system.config.material.element
    for labelled in tables:
        names = [str(atoms.info["name"]).rpartition("/") for atoms in labelled.structures]
        structures = from_table(labelled, element, labelling.edge, [group for group, _, _ in names])
        for one in structures:
            one.values[one.known] = normalized_rows(one.values[one.known], system.energies_ev)
        found += structures
    return found


def normalized_rows(values: Array, energies_ev: Array) -> Array:
    """Spectra (A, K), each with a mean level of 1."""
    rows = [normalized(one, energies_ev, "the spectrum of an atom") for one in values]
    return np.array(rows).reshape(values.shape)
