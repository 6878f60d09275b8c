"""Checks of a campaign file that need no LAMMPS run, for ``gcd-hpc check``."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, reference_states

from gcd_hpc.config.campaign import CampaignConfig, PotentialConfig
from gcd_hpc.config.guidance import find_image, image_of
from gcd_hpc.config.miller import spelled
from gcd_hpc.config.set import SetConfig
from gcd_hpc.config.shipped import install_command
from gcd_hpc.config.starting import StartingModel, check_energy_model, starting_model
from gcd_hpc.engines.engine import Engine
from gcd_hpc.engines.installed import (
    has_accelerator,
    has_pair_style,
    lammps_folder,
    pair_styles,
    shipped_potentials,
)
from gcd_hpc.engines.layout import Layout, lay_out
from gcd_hpc.engines.potentials import Potential, find_potential
from gcd_hpc.engines.resolve import find_engine
from gcd_hpc.engines.setfl import HEAD_BYTES, PotentialHead, read_head
from gcd_hpc.errors import (
    ConfigError,
    LaunchError,
    MissingPotentialError,
    PotentialError,
    did_you_mean,
)
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.character import described
from gcd_hpc.structures.hexagonal import basal_rotation
from gcd_hpc.structures.lattices import typical_a0
from gcd_hpc.structures.naming import rotation_of
from gcd_hpc.structures.periodic import spelled_cell
from gcd_hpc.structures.projection import read_image


@dataclass(frozen=True)
class LatticeConstant:
    """Lattice constant in Å, its relative uncertainty, and its origin."""

    value: float
    uncertainty: float
    origin: str


@dataclass(frozen=True)
class Soundness:
    """Geometry and potential that a campaign file describes, and what could not be checked here."""

    potential: Engine | None
    """None if a file of it may be among those that LAMMPS ships, and LAMMPS is not installed."""
    layout: Layout
    lattice_constant: LatticeConstant
    cutoff: float | None
    """Cutoff that the potential file states, Å."""
    unchecked: tuple[str, ...]
    boundary: str
    """What the literature calls the boundary."""
    rotation: str | None = None
    """The rotation that the boundary's name means, as a line of text; None where triads name it."""
    model: StartingModel | None = None
    """The model that the campaign starts from."""

    def lines(self) -> list[str]:
        """Boundary, cell, slabs, voxels and potential as lines of text for the user to check."""
        bicrystal, a0 = self.layout.bicrystal, self.lattice_constant
        frame, grid = self.layout.frame, self.layout.grid
        strain = max(map(abs, bicrystal.strain))
        spacing = " x ".join(f"{length:.2f}" for length in grid.spacing)
        return [
            f"boundary: {self.boundary}",
            *([] if self.rotation is None else [self.rotation]),
            *_grain_lines(bicrystal),
            f"cell: {spelled_cell(bicrystal.cell)}, area {bicrystal.area:.1f} Å^2,"
            f" strain {strain:.1e}",
            _fraction_line(bicrystal),
            f"slabs: {frame.num_lower_planes} + {frame.num_upper_planes} planes,"
            f" {self.layout.num_atoms:,} atoms, {self.layout.outer:g} Å held at both ends, in a box"
            f" of {frame.height:.2f} Å",
            f"voxels: {' x '.join(map(str, grid.shape))} of {spacing} Å, {self.layout.num_known}"
            " known layers at both ends",
            _constants_line(bicrystal, a0),
            *([] if self.potential is None else [self._potential_line(self.potential)]),
            *([] if self.model is None else [self.model.line()]),
        ]

    def _potential_line(self, potential: Engine) -> str:
        if not isinstance(potential, Potential):
            energies = "" if potential.has_energies else ", which has no energies of single atoms"
            return f"engine: {potential}{energies}"
        shipped = [folder.resolve() for folder in shipped_potentials()]
        places = [
            f"{file.name} (among the potentials that LAMMPS ships)"
            if file.parent in shipped
            else str(file)
            for file in potential.files.values()
        ]
        cutoff = f", cutoff {self.cutoff:.2f} Å" if self.cutoff else ""
        return f"potential: {potential.pair_style}, {', '.join(places) or 'no file'}{cutoff}"


def _grain_lines(bicrystal: Bicrystal) -> list[str]:
    """Orientation of both grains, or what their slab files hold."""
    grains = {"lower": bicrystal.lower, "upper": bicrystal.upper}
    if bicrystal.lower.directions is not None:
        named = ((name, *one.named) for name, one in grains.items())
        return [
            f"{name} grain: x {spelled(x)}, y {spelled(y)}, z {spelled(z)}"
            for name, x, y, z in named
        ]
    crystal = bicrystal.lower.crystal
    lengths = " x ".join(f"{length:.4f}" for length in np.linalg.norm(crystal.matrix, axis=1))
    return [
        f"crystal: {crystal.name}, primitive vectors of {lengths} Å, {len(crystal.basis)} atoms",
        *(
            f"{name} grain: x {spelled(one.vectors[0])} and the second edge"
            f" {spelled(one.vectors[1])} of it, {one.repeats[0]} x {one.repeats[1]} repeats"
            for name, one in grains.items()
        ),
    ]


def _fraction_line(bicrystal: Bicrystal) -> str:
    """The possible [n]."""
    number = bicrystal.atoms_per_plane
    if number > 1:
        return f"[n]: in steps of 1/{number} (N_plane is {number})"
    if bicrystal.lower.atoms_per_plane == bicrystal.upper.atoms_per_plane == 1:
        return "[n]: always 0, for the planes hold one atom in this cell"
    return "[n]: always 0, for the atoms in the planes of both grains have no common divisor"


def _constants_line(bicrystal: Bicrystal, a0: LatticeConstant) -> str:
    """Lattice constants and where they come from."""
    if bicrystal.lattice == "file":
        return "lattice constants: those of the slab files"
    if bicrystal.lattice != "hcp":
        return f"lattice constant: {a0.value:.4g} Å, {a0.origin}"
    c0 = bicrystal.lower.crystal.primitive[2][2]
    return f"lattice constants: a {a0.value:.4g} Å, c {c0:.4g} Å, {a0.origin}"


def inspect_campaign(config: CampaignConfig, folder: Path, source: str) -> Soundness:
    """Build the bicrystal, find the potential, and compare both with the rest of the file.

    Where LAMMPS is not installed, a potential file that is not found may be one that LAMMPS ships,
    so that it is reported as not checked and not refused.

    Args:
        folder: directory searched first for the potential file.
        source: name of the campaign in errors, usually its file.

    Raises:
        ConfigError: if the campaign cannot run; names the source and the key.
    """
    boundary = config.boundary
    for element in boundary.symbols:
        if element not in atomic_numbers or element == "X":
            cure = did_you_mean(element, list(atomic_numbers)[1:])
            problem = f"must be a chemical element such as W or Cu, got {element!r}{cure}"
            key = "boundary.element" if boundary.elements is None else "boundary.elements"
            raise ConfigError(source, key, problem)
    potential, unchecked = _engine(config, folder, source)
    head = _head(potential) if isinstance(potential, Potential) else None
    a0 = _lattice_constant(config, head)
    cutoff = head.cutoff if head else None
    layout = lay_out(config, a0.value, source, cutoff, a0.uncertainty)
    if a0.uncertainty:
        unchecked.append("boundary.a0: the lattice constant is measured when the campaign starts")
    if potential and head is None:
        unchecked.append(
            "relaxation.outer_thickness: whether the reach of the potential is below"
            f" {layout.outer:g} Å"
        )
        if config.relaxation.outer_thickness == "auto":
            unchecked[-1] += "; if not, held layers, slabs and box grow with it"
    model = starting_model(config, folder, source)
    check_energy_model(config, folder, source)
    unchecked += _image(config, folder, source)
    named = described(boundary, layout.bicrystal)
    return Soundness(
        potential, layout, a0, cutoff, tuple(unchecked), named, _rotation(config), model
    )


def inspect_set(config: SetConfig, folder: Path, source: str) -> dict[str, Soundness]:
    """What ``inspect_campaign`` finds of each member, by its name.

    Raises:
        ConfigError: if the set or a member cannot run; names the source, the member and the key.
    """
    check_shared_model(config, source)
    return {
        name: inspect_campaign(member, folder, f"{source}: {name}")
        for name, member in config.members().items()
    }


def check_shared_model(config: SetConfig, source: str) -> None:
    """Check that the boundaries of a set can share a model, if the budget has rounds.

    Raises:
        ConfigError: if they cannot.
    """
    if not config.budget.rounds:
        return
    if config.first.decoder.kind == "learned":
        problem = (
            "must be moment in a set with rounds, because a learned decoder belongs to one boundary"
        )
        raise ConfigError(source, "decoder.kind", problem)
    compounds = {tuple(sorted(one.boundary.symbols)) for one in config.members().values()}
    if len(compounds) > 1 and max(map(len, compounds)) > 1:
        lists = ", ".join("-".join(one) for one in sorted(compounds))
        problem = (
            f"must be 0 for boundaries of different compounds ({lists}), because the voxel channels"
            " of their model would differ; make a set of each"
        )
        raise ConfigError(source, "budget.rounds", problem)


def _image(config: CampaignConfig, folder: Path, source: str) -> list[str]:
    """Check that the image that guidance names can be read; return what could not be checked."""
    found = image_of(config.guidance)
    if found is None:
        return []
    key, target = found
    path = find_image(target, folder, source, key)
    try:
        read_image(path)
    except ValueError as error:
        raise ConfigError(source, f"{key}.file", f"{path} {error}") from None
    return [f"{key}.file: whether it shows this boundary is found when the campaign starts"]


def _rotation(config: CampaignConfig) -> str | None:
    """The rotation that a name means, which need not have the angle of the literature."""
    boundary = config.boundary
    if boundary.slabs is not None:
        return None
    rotation = (basal_rotation if boundary.lattice == "hcp" else rotation_of)(boundary)
    if rotation is None:
        return None
    return (
        f"rotation: {rotation.angle_deg:.2f} degrees about {spelled(rotation.axis)}, from the lower"
        " to the upper grain"
    )


def _engine(config: CampaignConfig, folder: Path, source: str) -> tuple[Engine | None, list[str]]:
    """The engine of a campaign, and what could not be checked of it."""
    if config.potential is not None:
        return check_potential(config.potential, config.boundary.symbols, folder, source)
    try:
        return find_engine(config, folder), []
    except (PotentialError, LaunchError) as error:
        raise ConfigError(source, "calculator", str(error)) from None


def check_potential(
    section: PotentialConfig, elements: tuple[str, ...], folder: Path, source: str
) -> tuple[Potential | None, list[str]]:
    """The potential, None if only LAMMPS can have it, and what could not be checked of it.

    Raises:
        ConfigError: if it cannot be used; names the source and the key.
    """
    style = section.pair_style
    cure = f"is not installed here; install it ({install_command('local')}) and check again"
    try:
        potential = find_potential(section, elements, folder)
    except MissingPotentialError as error:
        if lammps_folder() is None:
            what = f"{error.name} (its element and cutoff) and pair_style {style}"
            return None, [f"potential: {what}, because LAMMPS, which may ship the file, {cure}"]
        raise ConfigError(source, "potential", str(error)) from None
    except PotentialError as error:
        raise ConfigError(source, "potential", str(error)) from None
    if lammps_folder() is None:
        return potential, [f"potential.pair_style: {style}, because LAMMPS {cure}"]
    return potential, _check_styles(potential, source)


def _head(potential: Potential) -> PotentialHead | None:
    """Head of the first potential file, or None if its format is unknown."""
    file = next(iter(potential.files.values()), None)
    if file is None:
        return None
    with file.open("rb") as stream:
        return read_head(potential.pair_style.split()[0], stream.read(HEAD_BYTES))


def _lattice_constant(config: CampaignConfig, head: PotentialHead | None) -> LatticeConstant:
    """The given lattice constant, or the best estimate without LAMMPS."""
    element, lattice = config.boundary.symbols[0], config.boundary.lattice
    if config.boundary.slabs is not None:
        return LatticeConstant(1.0, 0.0, "as in the slab files")
    if config.boundary.a0 is not None:
        return LatticeConstant(config.boundary.a0, 0.0, "as given")
    is_first = head is not None and (not head.elements or head.elements[0] == element)
    if head is not None and is_first and head.lattice == lattice and head.a0 > 0:
        return LatticeConstant(head.a0, 0.02, "as the potential file states it")
    value = typical_a0(config.boundary.symbols, lattice)
    reference = reference_states[atomic_numbers[element]] or {}
    if reference.get("symmetry") == lattice:
        return LatticeConstant(value, 0.04, f"that of {element} in tables")
    return LatticeConstant(value, 0.15, f"estimated from the radius of {element} atoms")


def _check_styles(potential: Potential, source: str) -> list[str]:
    """Check that the installed LAMMPS has the pair styles; return what could not be checked."""
    for style in potential.styles:
        has = has_pair_style(style)
        if has is None:
            return [f"potential.pair_style: LAMMPS does not list its styles here, such as {style}"]
        if not has:
            cure = did_you_mean(style, pair_styles()) or "; see lmp -h for those it has"
            problem = f"is no pair style of the LAMMPS that is installed, got {style!r}{cure}"
            raise ConfigError(source, "potential.pair_style", problem)
    accelerator = potential.accelerator
    if accelerator != "none" and has_accelerator(accelerator) is False:
        problem = (
            f"is {accelerator}, but the LAMMPS that is installed was built without this package;"
            " install one that has it, or leave the key out"
        )
        raise ConfigError(source, "potential.accelerator", problem)
    return []
