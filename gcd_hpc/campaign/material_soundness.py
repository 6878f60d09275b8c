"""Checks of the campaign file of a material that need no engine, for ``gcd-hpc check``."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gcd_hpc.campaign.soundness import check_potential
from gcd_hpc.config.material import MaterialConfig
from gcd_hpc.config.shipped import install_command
from gcd_hpc.errors import ConfigError, GcdError
from gcd_hpc.learning.material import check_cutoffs
from gcd_hpc.spectra.align import shifted_target, window
from gcd_hpc.spectra.feff10 import CARBON_WINDOW_EV
from gcd_hpc.spectra.measured import MeasuredSpectrum
from gcd_hpc.spectra.table_file import read_labelled
from gcd_hpc.spectra.target import read_target


@dataclass(frozen=True)
class MaterialSoundness:
    """What the campaign file of a material describes, and what could not be checked here."""

    config: MaterialConfig
    target: MeasuredSpectrum
    unchecked: tuple[str, ...]

    def lines(self) -> list[str]:
        """Cell, first structures, spectra, samples and target as lines of text to check."""
        config, sampling = self.config, self.config.sampling
        material, labelling = config.material, config.labelling
        first = []
        if config.quench is not None:
            densities = ", ".join(f"{density:g}" for density in config.quench.densities_g_cm3)
            first.append(f"{config.quench.num} melt-quenches at {densities} g/cm^3")
        if config.structures is not None:
            first.append(f"the structures of {config.structures.file}")
        energies = self.target.energies_ev
        assert energies is not None
        return [
            f"cell: {material.num_atoms:,} atoms of {material.element} at"
            f" {material.density_g_cm3:g} g/cm^3",
            f"first structures: {' and '.join(first)}",
            f"spectra: {labelling.engine}, {labelling.atoms_per_structure} atoms of each first"
            f" structure, {labelling.atoms_per_candidate} of each sample",
            f"samples of a round: {sampling.num_guided} with guidance, {sampling.num_unguided}"
            " without it",
            f"target: {config.target.file}, {self.target.element} {self.target.edge} edge,"
            f" {len(energies)} points from {np.min(energies):g} to {np.max(energies):g} eV",
        ]


def inspect_material(config: MaterialConfig, folder: Path, source: str) -> MaterialSoundness:
    """Find the potential, the files and the engine of spectra, and compare them with the rest.

    Args:
        folder: directory searched first for files.
        source: name of the campaign in errors, usually its file.

    Raises:
        ConfigError: if the campaign cannot run; names the source and the key.
    """
    symbols = (config.material.element,)
    _, unchecked = check_potential(config.potential, symbols, folder, source)
    if config.structures is not None:
        found_file(config.structures.file, folder, source, "structures.file")
        unchecked.append("structures.file: its structures are read when the campaign starts")
    unchecked += _engine(config, folder, source)
    check_cutoffs(config, source)
    target = _target(config, folder, source)
    _check_reach(config, target, folder, source)
    return MaterialSoundness(config, target, tuple(unchecked))


def found_file(name: str, folder: Path, source: str, key: str) -> Path:
    """A file that a campaign names, looked for in its folder first.

    Raises:
        ConfigError: if there is none.
    """
    places = (folder / name, Path(name))
    for path in places:
        if path.is_file():
            return path
    raise ConfigError(source, key, f"there is no file {places[0]}")


def _target(config: MaterialConfig, folder: Path, source: str) -> MeasuredSpectrum:
    key = "target.file"
    path = found_file(config.target.file, folder, source, key)
    try:
        target = read_target(path)
    except GcdError as error:
        raise ConfigError(source, key, str(error)) from None
    wanted = (config.material.element, config.labelling.edge)
    if (target.element, target.edge) != wanted:
        problem = (
            f"must be of the {wanted[0]} {wanted[1]} edge, as material.element and labelling.edge"
            f" are, but {path} is of the {target.element} {target.edge} edge"
        )
        raise ConfigError(source, key, problem)
    if target.energies_ev is None:
        problem = (
            f"{path} states bins and no energies, so that it cannot be compared with an engine's"
            " spectra; import a spectrum with energies"
        )
        raise ConfigError(source, key, problem)
    return target


def _check_reach(
    config: MaterialConfig, target: MeasuredSpectrum, folder: Path, source: str
) -> None:
    """Lay the target onto the energies of the engine, where they are known without starting it."""
    labelling, section = config.labelling, config.target
    if labelling.engine == "feff10":
        energies = window(*(labelling.window_ev or CARBON_WINDOW_EV))
    elif labelling.engine.endswith(".h5"):
        key = "labelling.engine"
        path = found_file(labelling.engine, folder, source, key)
        try:
            stated = read_labelled(path).table.energies_ev
        except GcdError as error:
            raise ConfigError(source, key, str(error)) from None
        if stated is None:
            problem = f"{path} states no energies, so that no target can be laid onto its spectra"
            raise ConfigError(source, key, f"{problem}; name a table with energies")
        energies = stated
    else:
        return
    assert target.energies_ev is not None
    try:
        shifted_target(
            target.energies_ev + section.shift_ev,
            target.values,
            energies,
            section.fwhm_ev,
            section.max_shift_ev,
            section.file,
        )
    except GcdError as error:
        raise ConfigError(source, "target.file", str(error)) from None


def _engine(config: MaterialConfig, folder: Path, source: str) -> list[str]:
    """What could not be checked of the engine of spectra."""
    engine = config.labelling.engine
    if engine == "feff10":
        is_here = importlib.util.find_spec("feff10") is not None
        cure = install_command("spectra")
        missing = f"labelling.engine: feff10 is not installed here; {cure} on the workers"
        return [] if is_here else [missing]
    if engine.endswith(".h5"):
        found_file(engine, folder, source, "labelling.engine")
        return []
    return [f"labelling.engine: {engine} is imported when the campaign starts"]
