"""The boundary and how it is named: by two triads of directions, or by axis, Sigma and plane.

Lengths are in Å, angles in degrees.
"""

import re
from itertools import combinations
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from gcd_hpc.config.elements import check_elements, check_kinds, check_mu
from gcd_hpc.config.miller import (
    coprime,
    cross,
    dot,
    four_plane,
    spelled,
    three_direction,
    three_plane,
)
from gcd_hpc.config.section import Auto, NonNegativeFloat, Section, refuse

Replicas = Annotated[int, Field(gt=0, le=1000)]
MillerIndex = Annotated[int, Field(ge=-200, le=200)]
Direction = tuple[MillerIndex, ...]
"""Three indices, or four in hcp."""
FamilyIndex = Annotated[int, Field(ge=-100_000, le=100_000)]
Family = tuple[FamilyIndex, ...]
"""Planes that follow from a rotation have larger indices than those that anyone chooses."""
LatticeConstant = Annotated[float, Field(ge=0.5, le=50.0)]
SlabHeight = Annotated[float, Field(gt=0.0, le=100_000.0)]
Sigma = Annotated[int, Field(ge=3, le=9999)]
Angle = Annotated[float, Field(gt=0.0, le=180.0)]
AngleTolerance = Annotated[float, Field(gt=0.0, le=10.0)]
DENOMINATOR = 240_000_000
"""Fractions of primitive vectors are counted in whole parts of this number."""
FREE_HEIGHT = 19.0
"""Height of each grain above its held layers where it is not given, Å."""
HCP_RATIOS = (1.2, 2.2)
"""Smallest and largest c/a of hcp; those of the elements lie between 1.56 and 1.89."""
NAME = ("sigma", "angle", "axis", "plane", "upper_plane", "twist")
"""Keys that name a boundary without triads."""
LIMITS = ("angle_tolerance", "max_sigma")
"""Keys that say which coincidences an angle may mean."""


class Triad(Section):
    """Miller indices of the crystal directions along the box axes: three, or four in hcp."""

    x: Direction
    """Crystal direction along the x axis of the box."""
    y: Direction
    """Crystal direction along the y axis, at right angles to x."""
    z: Direction
    """Crystal direction along z, the boundary normal. x, y and z are right-handed. In hcp z is the
    boundary plane, whose normal need not be a lattice direction."""

    @field_validator("x", "y", "z")
    @classmethod
    def _a_direction(cls, indices: Direction) -> Direction:
        return check_direction(indices)

    def check(self, name: str, is_hexagonal: bool) -> None:
        """Refuse axes that are not at right angles and right-handed in the crystal."""
        problem = (_hexagonal_problem if is_hexagonal else _cubic_problem)(self)
        if problem:
            refuse(problem, name)


def check_direction(indices: Direction) -> Direction:
    """The indices; what is no direction or plane of three or four indices is refused."""
    if len(indices) not in (3, 4):
        refuse(f"must be a list of 3 values, or of 4 in hcp, got {list(indices)}")
    if not any(indices):
        refuse(f"must be a direction, got {list(indices)}")
    if len(indices) == 4 and indices[0] + indices[1] + indices[2]:
        first, second, third, _ = indices
        refuse(
            "must have a third index that is minus the sum of the first two,"
            f" {-(first + second)}, got {third} in {list(indices)}"
        )
    return indices


def _cubic_problem(triad: Triad) -> str:
    """What is wrong with the axes of a cubic crystal; empty if nothing is."""
    x, y, z = (three_direction(one) for one in (triad.x, triad.y, triad.z))
    for first, second in combinations({"x": x, "y": y, "z": z}.items(), 2):
        product = dot(first[1], second[1])
        if product:
            return (
                f"{first[0]} and {second[0]} must be at right angles, got {list(first[1])} and"
                f" {list(second[1])} with the dot product {product}: choose directions whose"
                " product is 0"
            )
    return "" if dot(cross(x, y), z) > 0 else _left_handed(triad)


def _hexagonal_problem(triad: Triad) -> str:
    """What is wrong with the axes of a hexagonal crystal; empty if nothing is.

    x and y must be at right angles at any c/a: one is along c or both are basal, or one lies in the
    basal plane at right angles to the other's basal part.
    """
    x, y = (three_direction(one) for one in (triad.x, triad.y))
    z = three_plane(triad.z)
    basal = 2 * (x[0] * y[0] + x[1] * y[1]) - x[0] * y[1] - x[1] * y[0]
    if basal or x[2] * y[2]:
        return (
            f"x and y must be at right angles at any c/a, got {list(triad.x)} and {list(triad.y)}:"
            " choose a basal direction and one at right angles to it"
        )
    normal = coprime(cross(x, y))
    if any(cross(normal, z)):
        plane = four_plane(normal)
        return (
            f"z must be the plane that holds x and y, {list(plane)} or {list(normal)}, got"
            f" {list(triad.z)}"
        )
    return "" if dot(normal, z) > 0 else _left_handed(triad)


def _left_handed(triad: Triad) -> str:
    return (
        "must be right-handed (x cross y along z), got"
        f" {list(triad.x)}, {list(triad.y)}, {list(triad.z)}: turn the signs of one direction"
    )


class SlabCrystal(Section):
    """The crystal of two slab files, and how the slabs lie in it. It is found when a campaign is
    read, and stands in the copy of the campaign in its run directory, so that nothing of a run
    depends on the files.
    """

    space_group: str
    """Symbol of the space group, by spglib."""
    primitive: tuple[tuple[float, float, float], ...]
    """Three primitive vectors, Å."""
    basis: tuple[tuple[int, int, int], ...]
    """Atoms of one lattice point, in primitive vectors over 240,000,000. The lowest atom of the
    lower file is the first, and begins a lattice plane."""
    kinds: tuple[int, ...] = ()
    """Which of boundary.elements each of these atoms is, from 0; not given where there is one."""
    upper_origin: int
    """Number in the basis of the lowest atom of the upper file, from 0."""
    lower: tuple[tuple[int, int, int], tuple[int, int, int]]
    """In-plane cell vectors of the lower slab, in primitive vectors."""
    upper: tuple[tuple[int, int, int], tuple[int, int, int]]
    """In-plane cell vectors of the upper slab."""
    sha256: tuple[str, str]
    """Hashes of both files."""


class SlabFiles(Section):
    """Files of two slabs of one crystal, in any format that ASE reads. The first two cell vectors
    are the periods in the boundary plane, and the first lies along x. The third points up. Each
    slab is cut from the perfect crystal; how high it is does not matter, from 8 Å on.
    """

    lower: str
    """File of the lower grain."""
    upper: str
    """File of the upper grain, in whose lower surface the boundary lies."""
    symprec: Annotated[float, Field(gt=0.0, le=0.3)] = 0.01
    """Largest distance of an atom from its site when the crystal is found, Å."""
    crystal: SlabCrystal | None = None
    """What the files hold, found when the campaign is read."""


class BoundaryConfig(Section):
    """The bicrystal. z is the boundary normal. The bottom of the lower grain is held, and the upper
    grain may shift.
    """

    element: str | None = None
    """Chemical symbol of both grains. elements takes its place where there are several."""
    elements: tuple[str, ...] | None = None
    """Chemical symbols of an alloy. Those of the crystal come first, one for each of its
    sublattices in a compound. Further ones are solutes, which moves exchange for atoms of the
    crystal. pair_coeff must name the same elements in the same order. Beside slabs they are both
    elements of the files, and there are no solutes.
    """
    mu: dict[str, float] | None = None
    """Chemical potentials by element, eV per atom in the zero of the potential. Of a compound's two
    elements one may be given, because both add up to the energy of a formula unit; without it the
    middle between the two pure elements is taken. A solute without one has the energy that it takes
    to put it into the crystal. docs/science.md#elements has the details.
    """
    lattice: Literal[
        "sc", "bcc", "fcc", "diamond", "hcp", "b2", "l12", "rocksalt", "zincblende", "file"
    ] = "file"
    """Crystal structure of both grains. Ordered compounds are b2 (NiAl: elements: [Ni, Al]), l12
    (Ni3Al: elements: [Ni, Al]), rocksalt and zincblende. It is file, or not given, where slabs
    names the grains.
    """
    a0: LatticeConstant | None = None
    """Lattice constant. It is measured with the campaign's potential when it is not given."""
    c0: LatticeConstant | None = None
    """Lattice constant of hcp along its axis, given together with a0. It is measured when it is not
    given, and a0 as well unless that is given."""
    slabs: SlabFiles | None = None
    """Files of both grains, which take the place of lattice, of its constants and of a name."""
    lower: Triad | None = None
    """Orientation of the grain below the boundary. It is not given where sigma and axis name the
    boundary."""
    upper: Triad | None = None
    """Orientation of the grain above the boundary, given together with lower."""
    sigma: Sigma | None = None
    """Coincidence index of the rotation about axis. Instead of lower and upper, sigma (or angle)
    and axis with plane or twist name a boundary. Its cell is then the smallest rectangle of vectors
    that both grains share. docs/science.md#naming says which rotation is meant where there are
    several.
    """
    angle: Angle | None = None
    """Angle of the rotation about axis, degrees, in place of sigma or to choose between rotations
    of one sigma. The nearest coincidence is taken, and check prints its angle.
    """
    angle_tolerance: AngleTolerance = 0.5
    """Largest distance of that coincidence from angle, degrees."""
    max_sigma: Sigma = 49
    """Largest Sigma that is considered where only angle is given."""
    axis: Direction | None = None
    """Crystal direction of the rotation axis, which both grains share."""
    plane: Direction | None = None
    """Plane of the lower grain at the boundary. It contains the axis in a tilt boundary, and is
    normal to it in a twist boundary. The plane of the upper grain follows from the rotation.
    """
    upper_plane: Family | None = None
    """Family of the upper grain's plane, to choose between rotations of the same sigma: without it
    a symmetric boundary is preferred.
    """
    twist: bool = False
    """Whether the boundary is normal to the axis, which saves writing plane."""
    cell: Literal["rectangle", "smallest"] = "rectangle"
    """Shape of the cell of a boundary that sigma or angle names: the smallest rectangle of vectors
    that both grains share, or the smallest cell, which may be oblique. On {111} of cubic crystals
    and on the basal plane of hcp the smallest cell has half the area of the rectangle."""
    replicas: tuple[Replicas, Replicas] = (1, 1)
    """Repeats of the smallest common cell along x and y."""
    slab_heights: tuple[SlabHeight, SlabHeight] | Auto = "auto"
    """Heights of the lower and of the upper grain, rounded to whole lattice planes. auto is 19 Å
    more than relaxation.outer_thickness for each.
    """
    max_strain: NonNegativeFloat = 1e-6
    """Largest in-plane strain with which the upper grain may be made to fit. Boundary energy and
    excess volume are counted from the strained crystal; what the strain costs is stated apart."""

    @field_validator("axis", "plane", "upper_plane")
    @classmethod
    def _a_direction(cls, indices: Direction | None) -> Direction | None:
        return None if indices is None else check_direction(indices)

    def __hash__(self) -> int:
        """Hash of all values; that of pydantic cannot hash the chemical potentials."""
        values = (getattr(self, name) for name in type(self).model_fields if name != "mu")
        return hash((*values, *sorted((self.mu or {}).items())))

    @property
    def symbols(self) -> tuple[str, ...]:
        """Chemical symbols of all elements, in the order of LAMMPS' atom types."""
        if self.elements is not None:
            return self.elements
        return () if self.element is None else (self.element,)

    @model_validator(mode="after")
    def _has_elements(self) -> "BoundaryConfig":
        check_elements(self.element, self.elements, self.lattice)
        check_mu(self.symbols, self.lattice, self.mu or {})
        return self

    @model_validator(mode="after")
    def _named_once(self) -> "BoundaryConfig":
        if self.slabs is not None or self.lattice == "file":
            self._check_slabs()
            return self
        triads = [key for key in ("lower", "upper") if getattr(self, key) is not None]
        words = [key for key in NAME if getattr(self, key) not in (None, False)]
        if triads and words:
            refuse(
                f"is named twice, by {triads[0]} and by {words[0]}; leave lower and upper or"
                f" {', '.join(words)} out"
            )
        if not triads and not words:
            refuse(
                "is not named; give lower and upper, or axis with sigma or angle, and with plane"
                " or twist: true"
            )
        if len(triads) == 1:
            missing = "upper" if triads == ["lower"] else "lower"
            refuse(f"is required beside {triads[0]} but missing", missing)
        for name in triads:
            triad: Triad = getattr(self, name)
            self._check_lengths(name, triad.x, triad.y, triad.z)
            triad.check(name, self.lattice == "hcp")
        if words:
            self._check_name(words[0])
        elif self.cell == "smallest":
            refuse(
                "must be rectangle where lower and upper name the boundary, for they are directions"
                " along x and y; give sigma, axis and plane for the smallest cell",
                "cell",
            )
        return self

    def _check_slabs(self) -> None:
        """Refuse slabs beside another name, and a boundary without any lattice."""
        if self.slabs is None:
            refuse("is required but missing, or slabs in its place", "lattice")
        names = ("lower", "upper", *NAME, "a0", "c0")
        given = [key for key in names if getattr(self, key) not in (None, False)]
        given += ["lattice"] if self.lattice != "file" else []
        if given:
            refuse(f"is given beside slabs, which hold both grains; leave {given[0]} out", given[0])
        if self.cell == "smallest":
            refuse("must be rectangle beside slabs, whose cells are those of the files", "cell")
        if self.slabs.crystal is not None:
            check_kinds(self.slabs.crystal.kinds, len(self.slabs.crystal.basis), self.symbols)

    def _check_name(self, given: str) -> None:
        """Refuse a name that is incomplete, and planes that neither hold nor face the axis."""
        if self.axis is None:
            refuse(f"is required beside {given} but missing", "axis")
        for key in ("axis", "plane", "upper_plane"):
            self._check_lengths(key, getattr(self, key))
        if self.lattice == "hcp":
            self._check_basal()
        if self.sigma is None and self.angle is None:
            refuse(f"or angle is required beside {given} but missing", "sigma")
        if self.plane is None:
            if not self.twist:
                refuse("is required beside axis, unless twist is true", "plane")
            return
        axis, plane = spelled(self.axis), spelled(self.plane, "()")
        direction, normal = three_direction(self.axis), three_plane(self.plane)
        faces_axis = not any(cross(direction, normal))
        if self.twist and not faces_axis:
            refuse(f"must be normal to the axis {axis} of a twist boundary, got {plane}", "plane")
        if not faces_axis and dot(direction, normal):
            refuse(
                f"must contain the axis {axis} (a tilt boundary) or be normal to it (a twist"
                f" boundary), got {plane}, whose normal has the product"
                f" {dot(direction, normal)} with the axis; choose a plane with the product 0,"
                " or give lower and upper for a mixed boundary",
                "plane",
            )

    def _check_lengths(self, key: str, *given: Direction | None) -> None:
        """Refuse four indices in cubic crystals."""
        for indices in given:
            if indices is not None and len(indices) == 4 and self.lattice != "hcp":
                refuse(f"must be a list of 3 values in {self.lattice}, got {list(indices)}", key)

    def _check_basal(self) -> None:
        """Refuse names in hcp whose coincidence depends on c/a, and what cannot be chosen there."""
        if self.axis is not None and any(three_direction(self.axis)[:2]):
            refuse(
                "must be [0 0 0 1] in hcp, where other axes have coincidences at chosen c/a only,"
                f" got {spelled(self.axis)}; give lower and upper instead",
                "axis",
            )
        if self.upper_plane is not None:
            refuse("cannot be chosen in hcp; choose the rotation by angle", "upper_plane")

    @model_validator(mode="after")
    def _sensible_constants(self) -> "BoundaryConfig":
        if self.c0 is None:
            return self
        if self.lattice != "hcp":
            refuse(f"is a constant of hcp, and {self.lattice} has none; leave it out", "c0")
        if self.a0 is None:
            refuse("is required beside c0 but missing", "a0")
        low, high = HCP_RATIOS
        if not low <= self.c0 / self.a0 <= high:
            refuse(
                f"must be {low:g} to {high:g} times a0 in hcp, got {self.c0:g}, which is"
                f" {self.c0 / self.a0:.3g} times {self.a0:g}",
                "c0",
            )
        return self

    @field_validator("element", "elements")
    @classmethod
    def _symbols(cls, given: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        for element in (given,) if isinstance(given, str) else given or ():
            if not re.fullmatch("[A-Z][a-z]?", element):
                refuse(f"must be a chemical symbol such as W or Cu, got {element!r}")
        return given


def slabs_of(given: tuple[float, float] | Auto, outer: float) -> tuple[float, float]:
    """Heights of the lower and of the upper grain, Å: as given, or from the held layers.

    Args:
        outer: height of the held layers, Å.
    """
    return (outer + FREE_HEIGHT, outer + FREE_HEIGHT) if given == "auto" else given
