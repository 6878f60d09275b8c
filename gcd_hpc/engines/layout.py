"""Layout of a campaign: slabs, box and voxels at a lattice constant, checked for consistency."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from gcd_hpc.config.boundary import slabs_of
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.guidance import CountGuidance, ImageGuidance, ImageTarget
from gcd_hpc.config.simulation import outer_layers
from gcd_hpc.errors import ConfigError, OrientationError, StructureError
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import FREE, MIN_REGION, Frame
from gcd_hpc.structures.periodic import spelled_cell
from gcd_hpc.voxels.grid import Grid

MAX_ATOMS = 1_000_000
"""Largest number of atoms of a structure."""
MAX_CELL_SITES = 5_000_000
"""Largest number of sites in one block of a grain."""
COARSE = 0.5
"""Largest voxel, in volumes of one atom: in larger ones two atoms cannot be told apart."""

VOXEL_WIDTH = 0.32
"""Width of a voxel along x and y where shape is auto, in nearest-neighbour distances."""
WIDTH_TOLERANCE = 0.105
"""Relative deviation from it, within which the least work for the network is chosen: a quarter of
the lattice constant of bcc, 0.289, and of fcc, 0.354, just lie within."""
EXPANSION = 0.5
"""Height by which relaxation lifts the upper grain for which a box of automatic voxels has room, Å:
excess volumes are up to about 0.5 Å beside the plane spacing that the frame leaves.
"""
GENERATED = 12.0
"""Height between the known layers where they are auto, Å: twice explore.window_depth, within which
moves change atoms. A model that has to continue the crystals further loses atoms in orientations
that it has not learned from."""


@dataclass(frozen=True)
class Layout:
    """A bicrystal in its box and its voxels."""

    bicrystal: Bicrystal
    frame: Frame
    grid: Grid
    num_atoms: int
    """Atoms of the two perfect grains joined without a gap."""
    slab_heights: tuple[float, float]
    """Heights of the lower and of the upper grain before rounding to planes, Å."""
    outer: float
    """Height of the held layers, Å."""
    num_known: int
    """Voxel layers at each end that hold perfect grain."""
    warnings: tuple[str, ...]


def lay_out(
    config: CampaignConfig,
    a0: float,
    source: str,
    reach: float | None = None,
    uncertainty: float = 0.0,
    c0: float | None = None,
) -> Layout:
    """Lay out the slabs of a campaign in their box and check all that follows from them.

    Slabs, held layers and voxels that the campaign does not give follow from the reach and the
    bicrystal. The height of the box is the voxels along z, each as high as the mean of its in-plane
    edges.

    Args:
        a0: lattice constant, Å.
        source: name of the campaign in errors: its file or its name.
        reach: of the potential, Å: the distance up to which an atom may change the energy of
            another; None while unknown.
        uncertainty: relative error of an estimated a0. A problem that some a0 within it would solve
            is a warning.
        c0: lattice constant of hcp along its axis, Å; an estimate if None.

    Raises:
        ConfigError: if the grains, slabs, box, voxels and reach are inconsistent.
    """
    try:
        bicrystal = Bicrystal.build(config.boundary, a0, c0)
    except OrientationError as error:
        raise ConfigError(source, "", str(error)) from None
    _check_guidance(config, bicrystal, source)
    outer = outer_layers(config.relaxation.outer_thickness, reach)
    slabs = slabs_of(config.boundary.slab_heights, outer)
    _check_size(bicrystal, slabs, source)
    grid = _grid(config, bicrystal, slabs)
    num_known = _num_known(config, grid)
    frame, warnings = _framed(bicrystal, slabs, grid.lengths[2], uncertainty, source)
    atoms = frame.join((0.0, 0.0, 0.0))
    layout = Layout(bicrystal, frame, grid, len(atoms), slabs, outer, num_known, ())
    for key, problem, missing in _problems(layout, atoms.positions, reach):
        if missing > uncertainty * grid.lengths[2]:
            raise ConfigError(source, key, problem)
        warnings.append(f"{key}: {problem}: the measured lattice constant decides")
    return replace(layout, warnings=(*warnings, *_remarks(layout)))


def _check_guidance(config: CampaignConfig, bicrystal: Bicrystal, source: str) -> None:
    """Refuse targets that this boundary cannot have."""
    for number, term in enumerate(config.guidance):
        key = f"guidance[{number}].target"
        if isinstance(term, ImageGuidance):
            _check_image(term.target, bicrystal, source, key)
        elif isinstance(term, CountGuidance) and term.target != "asked":
            period = bicrystal.atoms_per_plane
            if abs(term.target * period - round(term.target * period)) > 1e-6:
                problem = f"must be a multiple of 1/{period}, got {term.target:g}"
                raise ConfigError(source, key, problem)


def _check_image(target: ImageTarget, bicrystal: Bicrystal, source: str, key: str) -> None:
    """Refuse images of boundaries of which a projection cannot be compared."""
    if len(bicrystal.elements) > 1:
        elements = ", ".join(bicrystal.elements)
        problem = f"needs a boundary of one element, because columns look alike; got {elements}"
        raise ConfigError(source, key, problem)
    if bicrystal.cell[1][0]:
        problem = (
            "needs a cell with right angles, but the second edge of this one leans along x by"
            f" {bicrystal.cell[1][0]:.2f} Å"
        )
        raise ConfigError(source, key, problem)
    if target.pixel_a > 2 * target.blur_a:
        problem = f"must be at most twice blur_a, {target.blur_a:g}, got {target.pixel_a:g}"
        raise ConfigError(source, f"{key}.pixel_a", problem)


def _grid(config: CampaignConfig, bicrystal: Bicrystal, slabs: tuple[float, float]) -> Grid:
    """Voxels as given, or of a size that is about the same in all boundaries."""
    if config.voxels.shape != "auto":
        return Grid.build(config.voxels.shape, bicrystal.cell)
    # A strained upper grain grows along z by less than it is compressed in the plane.
    growth = 2 * max(map(abs, bicrystal.strain)) * slabs[1]
    return Grid.fitting(
        bicrystal.cell,
        Frame.least_height(bicrystal, slabs) - 2 * FREE + 2 * EXPANSION + growth,
        FREE,
        VOXEL_WIDTH * bicrystal.nearest_neighbor,
        WIDTH_TOLERANCE,
        config.network.voxel_multiple,
    )


def _num_known(config: CampaignConfig, grid: Grid) -> int:
    """Known layers as given, or all but those of the middle that is generated."""
    known = config.voxels.given_known
    if known != "auto":
        return known
    return max(1, (grid.shape[2] - ceil(GENERATED / grid.spacing[2])) // 2)


def _framed(
    bicrystal: Bicrystal,
    slabs: tuple[float, float],
    height: float,
    uncertainty: float,
    source: str,
) -> tuple[Frame, list[str]]:
    """Frame of the slabs, or one with a warning if only the uncertainty of a0 makes it too low."""
    try:
        return Frame.build(bicrystal, slabs, height), []
    except StructureError as error:
        problem = str(error)
    try:
        frame = Frame.build(bicrystal, slabs, height * (1 + uncertainty))
    except StructureError:
        raise ConfigError(source, "", problem) from None
    return frame, [f"{problem}: the measured lattice constant decides"]


def _check_size(bicrystal: Bicrystal, slabs: tuple[float, float], source: str) -> None:
    """Refuse structures that are too large to build."""
    num_atoms = bicrystal.area * sum(slabs) / bicrystal.atomic_volume
    if num_atoms > MAX_ATOMS:
        raise ConfigError(
            source,
            "boundary",
            f"must hold at most {MAX_ATOMS:,} atoms, got about {num_atoms:,.0f} in a common cell of"
            f" {spelled_cell(bicrystal.cell, digits=0)}; lower"
            " boundary.replicas or choose directions with small indices",
        )
    for name, grain in (("lower", bicrystal.lower), ("upper", bicrystal.upper)):
        if grain.num_sites > MAX_CELL_SITES:
            raise ConfigError(
                source,
                f"boundary.{name}",
                "has too large a cell along x, y and z; choose directions with small indices",
            )


def _problems(
    layout: Layout, positions: np.ndarray, reach: float | None
) -> Iterator[tuple[str, str, float]]:
    """Problems: key, sentence, and missing length in Å, infinite where a0 does not matter."""
    frame, grid = layout.frame, layout.grid
    outer = layout.outer
    if reach is not None and outer < reach:
        problem = f"must be at least the reach of the potential, {reach:.2f} Å, got {outer:g}"
        yield "relaxation.outer_thickness", problem, float("inf")
    thickness = float(np.ptp(positions[:, 2]))
    needed = MIN_REGION + 2 * outer
    if thickness < needed:
        problem = (
            f"must be {needed:g} Å together, {MIN_REGION:g} Å for the boundary and twice"
            f" relaxation.outer_thickness, got {thickness:.1f} Å in whole planes"
        )
        yield "boundary.slab_heights", problem, needed - thickness
    if float(np.linalg.det(grid.voxel)) > COARSE * frame.bicrystal.atomic_volume:
        problem = (
            f"voxels of {_spacing(grid)} are too coarse to tell atoms apart that are"
            f" {frame.bicrystal.nearest_neighbor:.2f} Å from each other; use more voxels"
        )
        yield "voxels.shape", problem, float("inf")
    known = layout.num_known * grid.spacing[2]
    if known < frame.bottom:
        problem = (
            f"layers reach {known:.1f} Å into the box, but the slabs begin at {frame.bottom:.1f} Å,"
            " so that no perfect grain is known; lower voxels.shape[2] or raise voxels.known"
        )
        yield "voxels.known", problem, frame.bottom - known


def _remarks(layout: Layout) -> Iterator[str]:
    """Warnings about allowed but probably unintended settings."""
    frame, grid = layout.frame, layout.grid
    if frame.bicrystal.misorientation_deg < 1e-6:
        yield (
            "boundary.upper: both grains have the same orientation, so that there is no boundary"
            " between them; turn one of them"
        )
    shared = grid.num_shared(frame.lower(frame.centre))
    if shared:
        yield (
            f"voxels.shape: atoms of the crystal share {shared} voxels of {_spacing(grid)}; use"
            " more voxels"
        )
    known = layout.num_known * grid.spacing[2] - frame.bottom
    if 0 <= known < layout.outer:
        yield (
            f"voxels.known: the known layers hold {known:.1f} Å of perfect grain, less than the"
            f" held layers, {layout.outer:g} Å, so that a model may change"
            " atoms that are held; raise voxels.known"
        )


def _spacing(grid: Grid) -> str:
    return " x ".join(f"{length:.2f}" for length in grid.spacing) + " Å"
