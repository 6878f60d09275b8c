"""Verification of a material's candidates: their spectra by the engine, against the target.

Some random atoms of a candidate are computed. Their mean alone scatters widely, because atoms of
one structure differ as much as whole densities do. So the property network predicts all atoms, and
the engine corrects the mean of its predictions by the mean of its errors on the random atoms
(the difference estimator of survey sampling). However wrong the network is, the result has the
engine's mean as its expectation; the better the network, the smaller the scatter.
"""

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.learning.material import MaterialSystem, load_material_system
from gcd_hpc.learning.material_labels import normalized_rows
from gcd_hpc.learning.property_labels import LabelledStructure
from gcd_hpc.learning.property_training import predict
from gcd_hpc.seeds import MATERIAL, generator
from gcd_hpc.spectra.align import ShiftedTarget
from gcd_hpc.spectra.label import label
from gcd_hpc.spectra.table import SpectrumTable
from gcd_hpc.stages.material_guide import kept_property
from gcd_hpc.stages.material_quench import VERIFIED
from gcd_hpc.stages.material_rows import rows_result
from gcd_hpc.stages.record import begin
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import Task
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate

Array = NDArray[np.float64]


def verify(run_dir: str, round: int, chunk: int) -> StageResult:
    """Compute spectra of random atoms of each relaxed sample of one chunk, and write its rows."""
    begun = begin(Task("verify", round, chunk))
    system, run = load_material_system(run_dir), RunDirectory(run_dir)
    rows = read_part(run.settled_part(round, chunk))
    sound = [row for row in rows if row.status == "ok"]
    structures = [system.atoms(row, row.positions, f"round {round:02d}/{row.id}") for row in sound]
    places = [
        (number, atom) for number, row in enumerate(sound) for atom in random_atoms(system, row)
    ]
    labelled = label(
        structures, run.verified_spectra(round, chunk), system.choice, len(places), places=places
    )
    numbers = {row.id: number for number, row in enumerate(sound)}
    rows = [
        _judged(system, run, row, labelled.table, numbers[row.id]) if row.id in numbers else row
        for row in rows
    ]
    path = run.relaxed_part(round, chunk)
    return begun.write(path, rows, system.config, rows_result(rows, begun.seconds()))


def random_atoms(system: MaterialSystem, row: Candidate) -> list[int]:
    """Atoms of a candidate that the engine computes."""
    rng = generator(system.config.seed, MATERIAL, VERIFIED, row.round, row.index)
    num = min(system.config.labelling.atoms_per_candidate, row.num_atoms)
    return sorted(rng.choice(row.num_atoms, num, replace=False).tolist())


def _judged(
    system: MaterialSystem, run: RunDirectory, row: Candidate, table: SpectrumTable, number: int
) -> Candidate:
    """The row with its spectrum error, or as failed where the engine failed on all its atoms.

    Args:
        number: of the row's structure in the table.
    """
    own = table.rows(table.structure == number)
    good = own.rows(own.is_ok)
    network = kept_property(str(run.path), row.round).network
    nothing = np.full((row.num_atoms, 1), np.nan)
    structure = LabelledStructure(
        row.id, "", system.config.material.element, row.positions, np.asarray(row.cell), nothing
    )
    predicted = predict([network], structure, 1)  # (N, K)
    predicted_error = system.target.best(predicted.mean(axis=0))[1]
    if not len(good):
        reason = f"the engine failed on all {len(own)} atoms: {own.reason[0]}"
        return replace(
            row,
            status="failed",
            failure="physics",
            reason=reason,
            predicted_error=predicted_error,
        )
    values = normalized_rows(good.values, system.energies_ev)
    found = spectrum_error(predicted, good.atom, values, system.target)
    return replace(
        row,
        spectrum_error=found.error,
        spectrum_error_se=found.standard_error,
        predicted_error=predicted_error,
        num_labelled=len(good),
    )


@dataclass(frozen=True)
class SpectrumError:
    """RMS difference of a structure's mean spectrum to the target, and its standard error.

    The scatter of the atoms adds to the RMS difference itself, so that it is an upper estimate.
    """

    error: float
    standard_error: float
    """NaN for a single atom."""


def spectrum_error(
    predicted: Array, atoms: NDArray[np.int64], values: Array, target: ShiftedTarget
) -> SpectrumError:
    """Error of a structure's mean spectrum by the difference estimator.

    Args:
        predicted: spectra (N, K) of all its atoms by the property network.
        atoms: random atoms (A,) that were computed.
        values: their spectra (A, K) by the engine.

    Returns:
        The error, with its standard error by the jackknife over the atoms; both are zero where
        network and engine agree and the mean is the target.
    """
    mean = predicted.mean(axis=0)
    residuals = values - predicted[atoms]  # (A, K)
    num = len(residuals)
    error = target.best(mean + residuals.mean(axis=0))[1]
    if num < 2:
        return SpectrumError(error, float("nan"))
    without = (residuals.sum(axis=0) - residuals) / (num - 1)  # (A, K)
    errors = np.array([target.best(mean + one)[1] for one in without])
    variance = (num - 1) / num * np.square(errors - errors.mean()).sum()
    finite = 1 - num / len(predicted)  # of a sample without replacement
    return SpectrumError(error, sqrt(finite * float(variance)))
