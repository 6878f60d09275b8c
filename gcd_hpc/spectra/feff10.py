"""FEFF10: absorption near the edge by self-consistent potentials and full multiple scattering.

The PyPI package ``feff10-rs`` runs FEFF10 in processes of its own, which form a group with a child
of this one. The group is killed when it exceeds its time. A spectrum depends on the atoms within
``cluster_a`` only.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from gcd_hpc.config.shipped import install_command
from gcd_hpc.engines.kept import NUM_TRIES, PATIENCE, KeptProcess
from gcd_hpc.engines.messages import pack
from gcd_hpc.engines.process import EngineProcess, KilledError, OutOfTimeError
from gcd_hpc.errors import LaunchError, SimulationError, StructureError
from gcd_hpc.spectra.align import broadened, window
from gcd_hpc.spectra.engine import Array, SpectrumResult
from gcd_hpc.structures.surroundings import surroundings

PACKAGE = "feff10-rs"
START_TIMEOUT_S = 60.0
TIMEOUT_S = 300.0
"""Processor time of one atom; amorphous carbon takes 2 to 8 s."""
STAGES = ("rdinp", "atomic", "pot", "screen", "xsph", "fms", "mkgtr", "path", "genfmt", "ff2x")
"""Stages of FEFF10 that XANES needs; the other eight take a second of process starts."""
CARBON_WINDOW_EV = (272.0, 310.0, 0.4)
"""FEFF10's own scale of the C K edge, which begins about 6 eV below the measured one."""


@dataclass(frozen=True)
class Feff10Settings:
    """What a spectrum by FEFF10 depends on; see docs/spectra.md for what was tried."""

    element: str = "C"
    edge: str = "K"
    window_ev: tuple[float, float, float] = CARBON_WINDOW_EV
    """First and last energy and their distance, eV, on FEFF10's scale."""
    fwhm_ev: float = 0.8
    """Gaussian broadening beside the lifetime of the core hole, eV."""
    cluster_a: float = 4.05
    """Radius of the cluster around the absorber, Å."""
    scf_radius_a: float = 2.8
    """Radius of the clusters for self-consistent potentials, Å. They are needed: without them the
    differences between atoms come out reversed."""
    scf_iterations: int = 30
    """Iterations after which an atom counts as failed; most take 6 to 10."""
    scf_mixing: float = 0.3
    fms_radius_a: float = 4.0
    """Radius of full multiple scattering, Å."""
    max_l: int = 2
    """Largest angular momentum of the scattering potentials."""
    k_max: float = 3.0
    """Upper end of the mesh of energies, as a wave number, 1/Å."""

    @property
    def energies_ev(self) -> Array:
        """Energies (K,) of the spectra, eV."""
        return window(*self.window_ev)


class Feff10(KeptProcess):
    """The engine FEFF10. Its child process starts with the first atom.

    Raises:
        LaunchError: if the package is not installed.
        StructureError: if the element does not exist.
    """

    name = "feff10"
    program = "FEFF10"
    worker = "gcd_hpc.spectra.feff10_worker"
    files: Mapping[str, Path] = {}
    made: Mapping[str, bytes] = {}

    def __init__(
        self, settings: Feff10Settings | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._settings = settings or Feff10Settings()
        self._timeout_s = timeout_s
        self.version = installed_version()
        self.settings = json.dumps(asdict(self._settings), sort_keys=True)
        self.element = self._settings.element
        self.edge = self._settings.edge
        self.energies_ev = self._settings.energies_ev
        if self.element not in atomic_numbers:
            raise StructureError(f"{self.element!r} is no element; name it by its symbol, as C")

    def spectrum(self, structure: Atoms, atom: int) -> SpectrumResult:
        """Absorption of one atom at ``energies_ev``, relative to FEFF10's absorption 50 eV above
        the edge; it is broadened. Errors as of ``SpectrumEngine``.

        Raises:
            StructureError: if the atom is not there or of another element.
            LaunchError: if FEFF10 cannot be started.
        """
        check_absorber(structure, atom, self.element)
        try:
            text = feff_input(structure, atom, self._settings)
            reply, arrays = self._answer(pack({"input": text, "stages": STAGES}))
        except SimulationError as error:
            self.close()
            is_late = isinstance(error, OutOfTimeError)
            return SpectrumResult(None, str(error), self._timeout_s if is_late else 0.0)
        seconds = float(reply["cpu_s"])
        reason = reply.get("error") or self._fault(arrays["energies"], arrays["absorption"])
        if reason:
            return SpectrumResult(None, f"FEFF10: {reason}", seconds)
        values = broadened(
            arrays["energies"], arrays["absorption"], self._settings.fwhm_ev, self.energies_ev
        )
        return SpectrumResult(values, "", seconds)

    def _fault(self, energies: Array, absorption: Array) -> str:
        """What is wrong with a spectrum of FEFF10; empty if nothing is."""
        if not (np.isfinite(energies).all() and np.isfinite(absorption).all()):
            return "the spectrum is not finite"
        if len(energies) < 2 or not (np.diff(energies) > 0).all():
            return "the energies of the spectrum do not rise"
        if energies[-1] < self.energies_ev[-1] or energies[0] > self.energies_ev[-1]:
            return (
                f"the spectrum reaches from {energies[0]:.1f} to {energies[-1]:.1f} eV, and not up"
                f" to {self.energies_ev[-1]:g} eV; choose another window of energies"
            )
        return ""

    def _answer(self, message: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Answer of the child to one job, which is tried again if it was killed from outside."""
        attempt = 0
        while True:
            attempt += 1
            try:
                process = self._ready_process()
                process.send(message)
                reply, arrays = process.receive(self._timeout_s, PATIENCE * self._timeout_s)
                if not reply.get("killed"):
                    return reply, arrays
                raise KilledError(f"FEFF10 was killed from outside: {reply['error']}")
            except KilledError:
                self.close()
                if attempt == NUM_TRIES:
                    raise
            except BaseException:
                # Also after Ctrl-C: the next atom must not receive the answer to this one.
                self.close()
                raise

    def _ready_process(self) -> EngineProcess:
        if self._process is not None and self._process.is_alive():
            return self._process
        self.close()
        cure = "give it more time (timeout_s) if the structure is sound"
        self._process = process = EngineProcess(self, starts_others=True, cure=cure)
        try:
            process.receive(START_TIMEOUT_S, PATIENCE * START_TIMEOUT_S)
        except SimulationError as error:
            self.close()
            raise LaunchError(
                f"FEFF10 cannot be started: {error}; install it: {install_command('spectra')}"
            ) from error
        return process


def installed_version() -> str:
    """Version of the package of FEFF10.

    Raises:
        LaunchError: if it is not installed.
    """
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        raise LaunchError(
            f"the engine feff10 needs the package {PACKAGE}, which is not installed; install it:"
            f" {install_command('spectra')}"
        ) from None


def check_absorber(structure: Atoms, atom: int, element: str) -> None:
    """Check that a structure has an atom of the absorbing element.

    Raises:
        StructureError: if it has not.
    """
    if not 0 <= atom < len(structure):
        raise StructureError(
            f"the structure has the atoms 0 to {len(structure) - 1}, and no atom {atom}"
        )
    if structure[atom].symbol != element:
        raise StructureError(
            f"atom {atom} is {structure[atom].symbol}, and the engine computes spectra of"
            f" {element}; name the absorbing element (--element)"
        )


def feff_input(structure: Atoms, atom: int, settings: Feff10Settings) -> str:
    """Input file of FEFF10 for one absorbing atom.

    Potential 0 is the absorber's; the other atoms have one for each element. The positions have six
    decimals and are sorted by distance.

    Raises:
        SimulationError: if there is no other atom within the cluster.
    """
    vectors, index = surroundings(structure, atom, settings.cluster_a)
    if not len(index):
        raise SimulationError(
            f"atom {atom} has no other atom within {settings.cluster_a:g} Å, so that nothing"
            " scatters; check the cell of the structure"
        )
    own = int(structure.numbers[atom])
    numbers = structure.numbers[index]
    others = sorted({int(number) for number in numbers})
    momenta = f"{settings.max_l} {settings.max_l}"
    potentials = [(0, own, 0.001)] + [
        (place + 1, number, float((numbers == number).sum())) for place, number in enumerate(others)
    ]
    atoms = [(np.zeros(3), 0, own)] + [
        (vector, others.index(number) + 1, number)
        for vector, number in zip(vectors, numbers.tolist(), strict=True)
    ]
    scf = f"{settings.scf_radius_a:g} 0 {settings.scf_iterations} {settings.scf_mixing:g} 1"
    lines = [
        *("TITLE gcd-hpc", f"EDGE {settings.edge}", "S02 1.0", "COREHOLE FSR"),
        *("CONTROL 1 1 1 1 1 1", f"SCF {scf}", f"FMS {settings.fms_radius_a:g} 0"),
        *(f"XANES {settings.k_max:g} 0.06 0.1", "POTENTIALS"),
        *(
            f"{place} {number} {chemical_symbols[number]} {momenta} {share:g}"
            for place, number, share in potentials
        ),
        "ATOMS",
        *(
            f"{x:.6f} {y:.6f} {z:.6f} {place} {chemical_symbols[number]}"
            for (x, y, z), place, number in atoms
        ),
        "END",
    ]
    return "\n".join(lines) + "\n"
