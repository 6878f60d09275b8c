"""A material's campaign at small size, and an engine of spectra whose answer is known."""

from pathlib import Path

import numpy as np
from ase import Atoms

from gcd_hpc.spectra.engine import SpectrumResult
from gcd_hpc.spectra.measured import MeasuredSpectrum
from gcd_hpc.spectra.target import write_target
from gcd_hpc.structures.surroundings import surroundings

ENERGIES_EV = np.linspace(280.0, 300.0, 41)
REACH_A, BOND_A = 3.0, 1.85


class Distances:
    """An edge, and a Gaussian for each neighbour at an energy that follows from its distance.

    Neighbours nearer than a bond of carbon give a peak near 284 eV, others one near 292 eV, so that
    the mean spectrum tells the mean number of bonds.
    """

    name = "distances"
    version = "1"
    settings = "{}"
    element, edge = "C", "K"
    energies_ev = ENERGIES_EV

    def __enter__(self) -> "Distances":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def spectrum(self, structure: Atoms, atom: int) -> SpectrumResult:
        vectors, _ = surroundings(structure, atom, REACH_A)
        return SpectrumResult(spectrum_of(np.linalg.norm(vectors, axis=1)), "", 0.0)


class Failing(Distances):
    """The same engine, which fails on every third atom."""

    name = "failing"

    def spectrum(self, structure: Atoms, atom: int) -> SpectrumResult:
        if atom % 3 == 0:
            return SpectrumResult(None, "this atom is a third one", 0.0)
        return super().spectrum(structure, atom)


class Broken(Distances):
    """An engine that fails on every atom."""

    name = "broken"

    def spectrum(self, structure: Atoms, atom: int) -> SpectrumResult:
        return SpectrumResult(None, "the licence has ended", 0.0)


def spectrum_of(distances: np.ndarray) -> np.ndarray:
    """Spectrum (K,) of an atom with neighbours at distances (M,) Å."""
    bonded = 1.0 / (1.0 + np.exp((distances - BOND_A) / 0.05))
    fade = 0.5 * (1.0 + np.cos(np.pi * np.minimum(distances / REACH_A, 1.0)))
    near, far = bonded.sum(), ((1.0 - bonded) * fade).sum()
    peaks = [near * _peak(284.0), 2.0 * far * _peak(292.0)]
    return np.asarray(1.0 + sum(peaks))


def _peak(centre_ev: float) -> np.ndarray:
    return np.exp(-0.5 * ((ENERGIES_EV - centre_ev) / 1.5) ** 2)


def write_target_of(path: Path, num_bonds: float, num_far: float = 1.0) -> None:
    """Target of a structure whose atoms have this many bonds each."""
    values = 1.0 + num_bonds * _peak(284.0) + 2.0 * num_far * _peak(292.0)
    write_target(path, MeasuredSpectrum(ENERGIES_EV, values, "C", "K", "stand-in"))


SMALL = """\
name: small
seed: 5
material: {element: C, num_atoms: 32, density_g_cm3: 2.5}
potential: {pair_style: tersoff, pair_coeff: "* * {file} C", file: SiC.tersoff}
target: {file: target.csv}
quench:
  densities_g_cm3: [2.0, 3.0]
  num_per_density: 2
  chunk_size: 2
  liquid_steps: 200
  quench_steps: 800
  hold_steps: 100
labelling: {engine: "tests.material:Distances", atoms_per_structure: 12, atoms_per_candidate: 6}
prior: {num_steps: 60, width: 12, num_layers: 2, cutoff_a: 2.6}
property_network: {num_steps: 60, width: 12, num_layers: 2, cutoff_a: 2.6, num_folds: 2}
sampling: {num_guided: 3, num_unguided: 2, chunk_size: 2, num_steps: 6, num_restarts: 0}
guidance: [{property: spectrum}]
relaxation: {ftol_ev_a: 0.01}
selection: {num_candidates: 2, max_energy_ev_atom: 5.0}
budget: {rounds: 2}
"""
"""Campaign of seconds; its networks have learned little."""
