"""The system of a material's campaign: its potential, engine of spectra, target and structures."""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from gcd_hpc.config.loader import load_material
from gcd_hpc.config.material import MaterialConfig
from gcd_hpc.engines.jobs import Minimizer
from gcd_hpc.engines.potentials import Potential, copied_potential, find_potential
from gcd_hpc.engines.quench import RELAX, box_length
from gcd_hpc.errors import ConfigError, LaunchError, RunDirectoryError, StoreError, StructureError
from gcd_hpc.files import replacing
from gcd_hpc.learning.kept_potential import has_structures_of, keep_potential
from gcd_hpc.spectra.align import ShiftedTarget, shifted_target
from gcd_hpc.spectra.feff10 import Feff10Settings
from gcd_hpc.spectra.label import EngineChoice
from gcd_hpc.spectra.target import read_target
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate, Source, candidate_id
from gcd_hpc.structures.files import read_frames

Array = NDArray[np.float64]
Lengths = tuple[float, float, float]
TARGET = "target.file"
STRUCTURES = "structures.file"
ENGINE = "labelling.engine"
"""Keys of the campaign file that name files."""


@dataclass(frozen=True, eq=False)
class MaterialSystem:
    """A material with all that its tasks need."""

    config: MaterialConfig
    potential: Potential
    choice: EngineChoice
    energies_ev: Array
    """Energies (K,) of the engine's spectra, eV."""
    target: ShiftedTarget
    """The target at these energies, with a mean level of 1."""
    given: tuple[Atoms, ...]
    """Known structures of the campaign file."""

    @property
    def lengths(self) -> Lengths:
        """Edges of a candidate's box, Å."""
        material = self.config.material
        return (box_length(material.element, material.num_atoms, material.density_g_cm3),) * 3

    @property
    def minimizer(self) -> Minimizer:
        """Tolerances of all relaxations."""
        relaxation = self.config.relaxation
        return Minimizer(
            RELAX.etol, relaxation.ftol_ev_a, relaxation.max_evaluations, RELAX.commands
        )

    @property
    def num_quenched_chunks(self) -> int:
        """Chunks of the first structures that are quenches; those of given ones follow."""
        quench = self.config.quench
        return 0 if quench is None else quench.num_chunks

    def row(
        self, source: Source, round: int, index: int, positions: Array, lengths: Sequence[float]
    ) -> Candidate:
        """An unrelaxed structure: positions (N, 3) and edges of its box, Å."""
        number = atomic_numbers[self.config.material.element]
        return Candidate(
            id=candidate_id(source, round, index),
            source=source,
            version=round,
            round=round,
            index=index,
            seed=self.config.seed,
            status="sampled",
            num_atoms=len(positions),
            cell=tuple(lengths),
            unrelaxed_positions=positions,
            numbers=np.full(len(positions), number),
            density_g_cm3=density(self.config.material.element, len(positions), lengths),
            potential_sha256=self.potential.sha256,
        )

    def atoms(self, row: Candidate, positions: Array, name: str = "") -> Atoms:
        """Atoms (N, 3) Å in the box of a row."""
        element = self.config.material.element
        return Atoms(
            [element] * row.num_atoms,
            positions,
            cell=np.asarray(row.cell),
            pbc=True,
            info={"name": name or row.id},
        )


def density(element: str, num_atoms: int, lengths: Sequence[float]) -> float:
    """Density of atoms in a box with right angles, g/cm^3; lengths are in Å."""
    of_cube = box_length(element, num_atoms, 1.0) ** 3  # Å^3 that they fill at 1 g/cm^3
    return float(of_cube / np.prod(np.asarray(lengths)))


def prepare(run_dir: Path, config: MaterialConfig, folder: Path) -> MaterialSystem:
    """Prepare a run directory so that it is self-contained, before the first task.

    It gets copies of the potential's files, the target, the given structures and the table that
    stands for an engine.

    Args:
        folder: of the campaign file, in which files are looked for first.

    Raises:
        ConfigError: if the target, structures or engine are missing or do not fit the material.
        PotentialError: if the potential is missing, or not that of the run's structures.
        RunDirectoryError: if a copy of an earlier session is of another file.
    """
    potential = find_potential(config.potential, config.material.element, folder)
    found = _found_files(config, folder)
    system = _system(config, potential, found)
    run = RunDirectory(run_dir)
    keep_potential(run, potential, has_structures_of(run, potential))
    for key, path in found.items():
        _keep(path, run.targets / path.name, key)
    return system


def check(config: MaterialConfig, folder: Path) -> MaterialSystem:
    """The system of a campaign, without a run directory; errors as ``prepare``."""
    potential = find_potential(config.potential, config.material.element, folder)
    return _system(config, potential, _found_files(config, folder))


@functools.lru_cache(maxsize=8)
def load_material_system(run_dir: str) -> MaterialSystem:
    """System of a prepared run directory, cached because a worker needs it for every task.

    Raises:
        GcdError: if a copy in the run is missing or damaged.
    """
    run = RunDirectory(run_dir)
    config = load_material(run.config)
    potential = copied_potential(config.potential, config.material.element, run.potential)
    kept = {key: run.targets / Path(name).name for key, name in _file_names(config).items()}
    return _system(config, potential, kept)


def _file_names(config: MaterialConfig) -> dict[str, str]:
    """Files that the campaign file names, by their keys; those of the potential are others."""
    names = {TARGET: config.target.file}
    if config.structures is not None:
        names[STRUCTURES] = config.structures.file
    if config.labelling.engine.endswith(".h5"):
        names[ENGINE] = config.labelling.engine
    return names


def _found_files(config: MaterialConfig, folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for key, name in _file_names(config).items():
        places = (folder / name, Path(name))
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            problem = f"there is no file {places[0]}; lay it there or name another one"
            raise ConfigError(config.name, key, problem)
        same = next((other for other in found if found[other].name == path.name), None)
        if same is not None:
            problem = f"has the name of {same}, {path.name}, and the run keeps both; rename one"
            raise ConfigError(config.name, key, problem)
        found[key] = path
    return found


def _keep(path: Path, copy: Path, key: str) -> None:
    """Copy a file into the run unless it is there."""
    content = path.read_bytes()
    if not copy.exists():
        copy.parent.mkdir(exist_ok=True)
        with replacing(copy) as temporary:
            temporary.write_bytes(content)
    elif copy.read_bytes() != content:
        raise RunDirectoryError(
            f"{copy}: is not a copy of {path}, the file of {key}, because one of them has changed;"
            " put the old one back or choose another --run-dir"
        )


def _system(config: MaterialConfig, potential: Potential, files: dict[str, Path]) -> MaterialSystem:
    choice = _choice(config, files)
    with _about(config, ENGINE):
        energies = _engine_energies(config, choice)
    with _about(config, TARGET):
        target = _target(config, files[TARGET], energies)
    with _about(config, STRUCTURES):
        given = _given(config, files[STRUCTURES]) if STRUCTURES in files else ()
    check_cutoffs(config, config.name, given)
    return MaterialSystem(config, potential, choice, energies, target, given)


def check_cutoffs(config: MaterialConfig, source: str, given: Sequence[Atoms] = ()) -> None:
    """Refuse networks that would see a pair of atoms twice in the smallest box.

    Args:
        source: name of the campaign in errors.
        given: known structures, as far as they have been read.

    Raises:
        ConfigError: naming the key.
    """
    material, quench = config.material, config.quench
    densities = (material.density_g_cm3, *(() if quench is None else quench.densities_g_cm3))
    edges = [box_length(material.element, material.num_atoms, one) for one in densities]
    shortest = min(edges + [float(atoms.cell.lengths().min()) for atoms in given])
    for section, cutoff in (
        ("prior", config.prior.cutoff_a),
        ("property_network", config.property_network.cutoff_a),
    ):
        if cutoff > shortest / 2:
            problem = (
                f"must be at most half the shortest edge of a box, {shortest / 2:.3g} Å, got"
                f" {cutoff:g}; lower it or raise material.num_atoms"
            )
            raise ConfigError(source, f"{section}.cutoff_a", problem)


@contextmanager
def _about(config: MaterialConfig, key: str) -> Iterator[None]:
    """Names the key of the campaign file in errors about what it names."""
    try:
        yield
    except (StoreError, StructureError, LaunchError) as error:
        raise ConfigError(config.name, key, str(error)) from error


def _choice(config: MaterialConfig, files: dict[str, Path]) -> EngineChoice:
    labelling = config.labelling
    settings: dict[str, Any] = {"element": config.material.element, "edge": labelling.edge}
    if labelling.window_ev is not None:
        settings["window_ev"] = labelling.window_ev
    name = str(files.get(ENGINE, labelling.engine))
    feff10 = Feff10Settings(**settings, fwhm_ev=labelling.fwhm_ev)
    return EngineChoice(name, feff10, labelling.timeout_s)


def _engine_energies(config: MaterialConfig, choice: EngineChoice) -> Array:
    """Energies (K,) of an engine of the campaign's edge.

    Raises:
        LaunchError: if it cannot be used, is of another edge or states no energies.
    """
    with choice.make() as engine:
        wanted = (config.material.element, config.labelling.edge)
        if (engine.element, engine.edge) != wanted:
            raise LaunchError(
                f"{choice.name} computes the {engine.element} {engine.edge} edge, and the campaign"
                f" is about the {' '.join(wanted)} edge; name another engine, element or edge"
            )
        if engine.energies_ev is None:
            raise LaunchError(
                f"{choice.name} states no energies, so that no target can be laid onto its spectra;"
                " give them"
            )
        return engine.energies_ev


def _target(config: MaterialConfig, path: Path, energies_ev: Array) -> ShiftedTarget:
    """The measured spectrum at the engine's energies.

    Raises:
        StoreError: if it is of another edge, states no energies, or does not reach over the window.
    """
    measured, target = read_target(path), config.target
    wanted = (config.material.element, config.labelling.edge)
    if (measured.element, measured.edge) != wanted:
        raise StoreError(
            f"{path}: is the {measured.element} {measured.edge} edge, and the campaign is about the"
            f" {' '.join(wanted)} edge; name another file, element or edge"
        )
    if measured.energies_ev is None:
        raise StoreError(
            f"{path}: states no energies, so that it cannot be compared with the engine's spectra;"
            " import it again with its energies"
        )
    return shifted_target(
        measured.energies_ev + target.shift_ev,
        measured.values,
        energies_ev,
        target.fwhm_ev,
        target.max_shift_ev,
        str(path),
    )


def _given(config: MaterialConfig, path: Path) -> tuple[Atoms, ...]:
    """Structures of a file, all of the material's element and number of atoms.

    Raises:
        StructureError: if one is not, or if its box is not periodic with right angles.
    """
    assert config.structures is not None
    frames, material = read_frames(path), config.material
    for number, atoms in enumerate(frames, start=1):
        others = sorted(set(atoms.symbols) - {material.element})
        if others:
            problem = f"has atoms of {', '.join(others)}, but the material is {material.element}"
        elif len(atoms) != material.num_atoms:
            problem = f"has {len(atoms)} atoms, but material.num_atoms is {material.num_atoms}"
        elif not atoms.pbc.all() or not np.allclose(
            atoms.cell.array, np.diag(np.diag(atoms.cell.array)), atol=1e-6
        ):
            problem = "has a box that is not periodic with right angles"
        else:
            continue
        raise StructureError(f"{path}: structure {number} {problem}; leave it out")
    if len(frames) < config.structures.num_tasks:
        raise StructureError(
            f"{path}: holds {len(frames)} structures, fewer than the {config.structures.num_tasks}"
            " of structures.num_tasks; lower that"
        )
    return tuple(frames)
