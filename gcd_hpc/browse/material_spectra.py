"""Spectra of a campaign of a material: the target and the means over structures, from its files.

Every spectrum has a mean level of 1 over the window of the engine. That of a structure is the mean
over its labelled atoms.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.config.loader import parse_material
from gcd_hpc.errors import GcdError
from gcd_hpc.spectra.align import normalized, shifted_target
from gcd_hpc.spectra.table_file import Labelled, read_labelled
from gcd_hpc.spectra.target import read_target
from gcd_hpc.store.run import Run
from gcd_hpc.store.run_directory import RunDirectory, parts_in

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Band:
    """Mean spectrum of several structures, and how much they differ."""

    mean: Array
    """(K,)."""
    deviation: Array
    """Standard deviation from structure to structure, (K,); zeros for a single one."""
    num: int
    """Number of structures."""


@dataclass(frozen=True, eq=False)
class MaterialSpectra:
    """Spectra by the engine, at its energies."""

    energies_ev: Array
    """(K,) eV."""
    target: Array | None
    """Target (K,) at the shift of its energies at which it agrees best with the mean of all
    candidates; None if the run keeps none that can be read."""
    shift_ev: float
    means: Mapping[str, Array]
    """Mean spectrum (K,) of each structure, by its id."""
    atom_errors: Mapping[str, Array]
    """Standard error (K,) of each of these that comes from the choice of atoms."""
    engine: str
    """Name and version of the engine."""

    def band(self, ids: Sequence[str]) -> Band | None:
        """Mean over those of some structures that have spectra; None if there are none."""
        found = [self.means[name] for name in ids if name in self.means]
        if not found:
            return None
        deviation = np.std(found, axis=0, ddof=1) if len(found) > 1 else np.zeros(len(found[0]))
        return Band(np.mean(found, axis=0), deviation, len(found))


def read_spectra(run: Run) -> MaterialSpectra | None:
    """Spectra that the run directory of a material holds.

    None if there are none yet, or if this is a single file of results.

    Raises:
        StoreError: if a file of spectra is damaged.
    """
    if not run.path.is_dir():
        return None
    means: dict[str, Array] = {}
    errors: dict[str, Array] = {}
    energies: Array | None = None
    engine = ""
    for path in _files(RunDirectory(run.path)):
        labelled = read_labelled(path)
        axis = labelled.table.energies_ev
        if axis is None or (energies is not None and not np.array_equal(energies, axis)):
            continue  # of an engine that the campaign had before
        energies, engine = axis, f"{labelled.table.engine} {labelled.table.version}".strip()
        for name, spectra in _spectra_of(labelled):
            means[name] = spectra.mean(axis=0)
            spread = spectra.std(axis=0, ddof=1) if len(spectra) > 1 else np.zeros(len(axis))
            errors[name] = spread / np.sqrt(len(spectra))
    if energies is None or not means:
        return None
    candidates = [mean for name, mean in means.items() if name.startswith("model-")]
    compared = np.mean(candidates or list(means.values()), axis=0)
    target, shift_ev = _target(run, energies, compared)
    return MaterialSpectra(energies, target, shift_ev, means, errors, engine)


def _spectra_of(labelled: Labelled) -> Iterator[tuple[str, Array]]:
    """Ids of structures, and the spectra (A, K) of their atoms, each with a mean level of 1."""
    table = labelled.table
    for number, atoms in enumerate(labelled.structures):
        rows = table.values[(table.structure == number) & table.is_ok]
        if len(rows):
            # A name is that of a group and an id: GROUP/ID.
            name = str(atoms.info.get("name", "")).rpartition("/")[2]
            yield name, np.array([normalized(row, table.energies_ev) for row in rows])


def _files(run: RunDirectory) -> list[Path]:
    """Files of spectra of the first structures, then of the candidates of each round."""
    folders = [run.labelled_part(0).parent]
    folders += [run.verified_spectra(version, 0).parent for version in run.versions()]
    return [path for folder in folders for path in parts_in(folder)]


def _target(run: Run, energies_ev: Array, compared: Array) -> tuple[Array | None, float]:
    """Target (K,) at the shift at which it agrees best with a spectrum, and the shift, eV."""
    try:
        config = parse_material(run.provenance["config"], str(run.path)).target
        measured = read_target(RunDirectory(run.path).targets / Path(config.file).name)
        if measured.energies_ev is None:
            return None, 0.0
        shifted = shifted_target(
            measured.energies_ev + config.shift_ev,
            measured.values,
            energies_ev,
            config.fwhm_ev,
            config.max_shift_ev,
        )
    except GcdError:
        return None, 0.0
    shift_ev, _ = shifted.best(compared)
    return shifted.values[np.flatnonzero(shifted.shifts_ev == shift_ev)[0]], shift_ev
