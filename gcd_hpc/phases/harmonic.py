"""Normal modes and harmonic free energies from force constants.

Force constants are second derivatives of the energy in eV/Å^2, masses are in atomic mass units,
frequencies in THz (imaginary ones negative) and energies in eV.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil

import numpy as np
from ase import units

from gcd_hpc.errors import SimulationError

ZERO_THZ = 0.03
"""Modes below count as free of a restoring force: an error of 1e-4 eV/Å^2, which finite
displacements make, gives a heavy atom 0.01 THz."""
_THZ = units.s * 1e-12 / (2 * np.pi)
"""Frequency in THz of a unit eigenvalue of the dynamical matrix, 1 eV/Å^2 per atomic mass unit."""
_QUANTUM_EV = 1e12 * units._hplanck * units.J
"""Energy of a quantum of 1 THz, eV."""
_SAME_LENGTH = 1e-4
"""Images of an atom whose distances differ by less share a force constant, Å."""


def quantum_free_energy(thz: np.ndarray, temperature_k: float) -> np.ndarray:
    """Free energy of quantum oscillators: hv/2 + kT ln(1 - exp(-hv/kT)), eV."""
    quantum = _QUANTUM_EV * thz
    if temperature_k == 0:
        return 0.5 * quantum
    kt = units.kB * temperature_k
    return 0.5 * quantum + kt * np.log1p(-np.exp(-quantum / kt))


def classical_free_energy(thz: np.ndarray, temperature_k: float) -> np.ndarray:
    """Free energy of classical oscillators: kT ln(hv/kT), eV; 0 at 0 K."""
    if temperature_k == 0:
        return np.zeros_like(thz)
    kt = units.kB * temperature_k
    return kt * np.log(_QUANTUM_EV * thz / kt)


def quantum_entropy(thz: np.ndarray, temperature_k: float) -> np.ndarray:
    """Entropy of quantum oscillators: k (x / (exp(x) - 1) - ln(1 - exp(-x))), x = hv/kT, eV/K."""
    if temperature_k == 0:
        return np.zeros_like(thz)
    x = _QUANTUM_EV * thz / (units.kB * temperature_k)
    return units.kB * (x / np.expm1(x) - np.log1p(-np.exp(-x)))


@dataclass(frozen=True)
class Modes:
    """Normal modes at some wave vectors, one after another.

    thz: (K, 3M) frequencies at each wave vector, ascending.
    shares: (K, 3M, M) share of each atom in each mode: the squared length of its displacement in
        the mode of unit length.
    weights: (K,) share of each wave vector; they sum to 1.
    """

    thz: np.ndarray
    shares: np.ndarray
    weights: np.ndarray

    @property
    def num_zero(self) -> int:
        """Modes without a restoring force."""
        return int((np.abs(self.thz) < ZERO_THZ).sum())

    @property
    def num_imaginary(self) -> int:
        """Modes along which the energy falls."""
        return int((self.thz <= -ZERO_THZ).sum())

    def check(self, name: str, num_zero: int = 0) -> None:
        """Refuse what has no harmonic free energy.

        Args:
            name: of the phase or crystal, for the error.
            num_zero: number of modes that have no restoring force for a good reason.

        Raises:
            SimulationError: if a mode is imaginary, or if another number of modes has no restoring
                force.
        """
        if self.num_imaginary:
            raise SimulationError(
                f"{name} has no harmonic free energy, because {self.num_imaginary} of its modes are"
                f" imaginary, the lowest with {-self.thz.min():.3f}i THz: the structure is no"
                " minimum of the energy; relax it along this mode, or take another phase"
            )
        if self.num_zero != num_zero:
            raise SimulationError(
                f"{name} has no harmonic free energy, because {self.num_zero} of its modes have no"
                f" restoring force (below {ZERO_THZ} THz), expected {num_zero}: atoms can move"
                " freely in it; take another phase"
            )

    def free_energies(self, temperatures_k: np.ndarray, is_quantum: bool = True) -> np.ndarray:
        """Free energy of each atom, projected from all modes but the zero ones, (T, M) eV."""
        oscillator = quantum_free_energy if is_quantum else classical_free_energy
        return self._projected(oscillator, temperatures_k)

    def entropies(self, temperatures_k: np.ndarray) -> np.ndarray:
        """Quantum entropy of each atom, (T, M) eV/K."""
        return self._projected(quantum_entropy, temperatures_k)

    def _projected(
        self, oscillator: Callable[[np.ndarray, float], np.ndarray], temperatures_k: np.ndarray
    ) -> np.ndarray:
        moving = np.abs(self.thz) >= ZERO_THZ
        thz = np.where(moving, np.abs(self.thz), 1.0)
        rows = []
        for temperature in temperatures_k:
            values = np.where(moving, oscillator(thz, float(temperature)), 0.0)
            rows.append(np.einsum("k,kv,kva->a", self.weights, values, self.shares))
        return np.array(rows)


def modes_of(
    constants: np.ndarray, phases: Iterable[np.ndarray], masses: np.ndarray, weights: np.ndarray
) -> Modes:
    """Normal modes of a periodic structure.

    Args:
        constants: (M, 3, S, M, 3) between the atoms of one cell and those of all S cells, eV/Å^2.
        phases: factors exp(ikR) of each of K wave vectors, (S,) or (M, S, M).
        masses: (M,) atomic mass units.
        weights: (K,) share of each wave vector.
    """
    num_atoms = len(masses)
    scale = 1.0 / np.sqrt(np.repeat(masses, 3))  # (3M,)
    thz, shares = [], []
    for factors in phases:
        path = "s,iasjb->iajb" if factors.ndim == 1 else "isj,iasjb->iajb"
        matrix = np.einsum(path, factors, constants).reshape(3 * num_atoms, 3 * num_atoms)
        matrix = 0.5 * (matrix + matrix.conj().T) * scale[:, None] * scale
        if np.abs(matrix.imag).max() < 1e-12 * np.abs(matrix.real).max():
            matrix = matrix.real
        values, vectors = np.linalg.eigh(matrix)
        thz.append(np.sign(values) * np.sqrt(np.abs(values)) * _THZ)
        lengths = np.abs(vectors.T.reshape(-1, num_atoms, 3)) ** 2  # (3M, M, 3)
        shares.append(lengths.sum(axis=2))
    return Modes(np.array(thz), np.array(shares), np.asarray(weights, dtype=float))


def commensurate_phases(repeats: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Factors (K, S) and weights (K,) of the wave vectors whose waves fit into repeated cells.

    The modes at these wave vectors are all modes of the repeated structure. Of two opposite wave
    vectors, which have equal modes, one is kept with both weights. Cells are counted with the
    second index running fastest.
    """
    cells = np.array(list(product(*map(range, repeats))))  # (S, 2)
    rows: dict[tuple[int, ...], float] = {}
    for wave in product(*map(range, repeats)):
        opposite = tuple((-one) % num for one, num in zip(wave, repeats, strict=True))
        kept = opposite if opposite in rows else wave
        rows[kept] = rows.get(kept, 0.0) + 1.0 / len(cells)
    waves = np.array(list(rows)) / np.array(repeats)  # (K, 2)
    return np.exp(2j * np.pi * waves @ cells.T), np.array(list(rows.values()))


def mesh_phases(
    positions: np.ndarray, cell: np.ndarray, repeats: tuple[int, int, int], mesh: np.ndarray
) -> Iterator[np.ndarray]:
    """Factors (M, S, M) of each wave vector of a mesh in a crystal of three periods.

    A force constant belongs to the shortest vector between two atoms of the repeated crystal, and
    is shared among all of them if several are equally short. The mesh lies between the points of
    one that begins at zero, and so leaves out the uniform translations.

    Args:
        positions: (M, 3) of one cell, Å.
        cell: its vectors (3, 3) as rows, Å.
        repeats: of the cell in the structure whose force constants are known.
        mesh: (3,) numbers of wave vectors.
    """
    cells = np.array(list(product(*map(range, repeats))))  # (S, 3)
    images = np.array(list(product((-1, 0, 1), repeat=3))) * np.array(repeats)  # (27, 3)
    steps = cells[:, None] + images  # (S, 27, 3) in cells
    between = positions - positions[:, None]  # (M, M, 3) from the first to the second
    vectors = between[:, None, :, None] + (steps @ cell)[None, :, None]  # (M, S, M, 27, 3)
    lengths = np.linalg.norm(vectors, axis=-1)
    shortest = lengths < lengths.min(axis=-1, keepdims=True) + _SAME_LENGTH
    shares = shortest / shortest.sum(axis=-1, keepdims=True)  # (M, S, M, 27)
    for wave in product(*(range(num) for num in mesh.tolist())):
        factors = np.exp(2j * np.pi * (steps @ ((np.array(wave) + 0.5) / mesh)))  # (S, 27)
        yield np.einsum("sg,isjg->isj", factors, shares)


def mesh_of(cell: np.ndarray, length: float) -> np.ndarray:
    """Numbers (3,) of wave vectors whose waves repeat after this length at least, Å."""
    heights = abs(np.linalg.det(cell)) / np.linalg.norm(
        np.cross(cell[[1, 2, 0]], cell[[2, 0, 1]]), axis=1
    )
    return np.array([max(1, ceil(length / height)) for height in heights])
