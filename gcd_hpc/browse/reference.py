"""A list of known boundary energies, from a CSV file, to compare with those of an overview."""

import csv
import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from gcd_hpc.config.miller import Indices, Miller, coprime, parsed, three_direction, three_plane
from gcd_hpc.errors import StoreError, reason_of, shortened
from gcd_hpc.structures.character import tilt_angle, zone_axis
from gcd_hpc.structures.naming import family

SAME_ANGLE = 0.01
"""Largest difference of equal misorientations, degrees."""
ENERGY = "_j_m2"
"""End of the name of the column of energies, whose beginning is the title of the list."""
TILT = "symmetric tilt"


@dataclass(frozen=True)
class ReferencePoint:
    """One boundary of a list.

    elements: chemical symbols, joined by hyphens; empty where the list names none.
    kind, axis: as in ``gcd_hpc.structures.character``; the axis is None where the list names none.
    plane: of a symmetric tilt boundary, in place of its angle.
    angle_deg: misorientation, degrees; None where the plane gives it.
    """

    elements: str
    kind: str
    axis: Miller | None
    plane: Miller | None
    angle_deg: float | None
    energy_j_m2: float

    def angle_about(self, kind: str, axis: Indices) -> float | None:
        """Misorientation of the boundary among those of a kind about a family of axes, degrees.

        None if it is not one of them.
        """
        if kind != self.kind or (self.axis is not None and family(self.axis) != _family(axis)):
            return None
        if self.plane is None:
            return self.angle_deg
        found = None if len(axis) == 4 else zone_axis(axis, self.plane)
        return None if found is None else tilt_angle(found, self.plane)


@dataclass(frozen=True)
class Reference:
    """Known energies and what they are called, such as "upper bound"."""

    path: Path
    title: str
    points: tuple[ReferencePoint, ...]

    @classmethod
    def read(cls, path: Path) -> "Reference":
        """Read a CSV file with a line of headings.

        A column whose name ends in ``_j_m2`` holds energies, J/m^2. Symmetric tilt boundaries of
        cubic crystals are named by ``plane``, such as ``2 1 0``. Other boundaries are named by
        ``angle_deg``, with ``kind`` (symmetric tilt where it is not given) and ``axis``. Further
        columns are not read. ``element`` is needed where boundaries of several metals are compared.

        Raises:
            StoreError: if there is no such file, or a line cannot be read.
        """
        try:
            with path.open(newline="", encoding="utf-8") as file:
                lines = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise StoreError(
                f"{path}: the list of energies cannot be read: {reason_of(error)}"
            ) from error
        column = (
            next((one for one in lines[0] if one and one.endswith(ENERGY)), None) if lines else None
        )
        if column is None:
            raise StoreError(
                f"{path}: the list of energies must have a column whose name ends in {ENERGY}, such"
                " as upper_bound_j_m2, and at least one line"
            )
        points = []
        for number, line in enumerate(lines, start=2):
            try:
                points.append(_point(line, column))
            except (ValueError, AttributeError) as error:
                raise StoreError(
                    f"{path}: line {number} cannot be read: {reason_of(error)}"
                ) from error
        return cls(path, column.removesuffix(ENERGY).replace("_", " "), tuple(points))

    def energy_of(
        self, elements: str, kind: str, axis: Indices, plane: Indices | None, angle_deg: float
    ) -> float | None:
        """Lowest energy in the list of a boundary, J/m^2; None if it is not in the list."""
        found = []
        for point in self.points:
            if point.elements not in ("", elements):
                continue
            angle = point.angle_about(kind, axis)
            if angle is None or abs(angle - angle_deg) > SAME_ANGLE:
                continue
            if point.plane is None or (
                plane is not None and family(coprime(three_plane(plane))) == family(point.plane)
            ):
                found.append(point.energy_j_m2)
        return min(found, default=None)

    def check(self, elements: Collection[str]) -> None:
        """Refuse a list that names no element where there are boundaries of several.

        Raises:
            StoreError: if so.
        """
        if len(elements) > 1 and not all(point.elements for point in self.points):
            raise StoreError(
                f"{self.path}: the list of energies must have a column element with a value in each"
                f" line, because the overview holds boundaries of {', '.join(sorted(elements))}"
            )


def _point(line: dict[str, str], column: str) -> ReferencePoint:
    """One line of the file.

    Raises:
        ValueError: if it does not name a boundary and its energy.
    """
    cells = {name: (cell or "").strip() for name, cell in line.items() if isinstance(cell, str)}
    energy = _number(cells, column)
    elements = cells.get("element", "")
    axis = coprime(three_direction(parsed(cells["axis"]))) if cells.get("axis") else None
    kind = cells.get("kind", "").replace("-", " ") or TILT
    if cells.get("angle_deg"):
        return ReferencePoint(elements, kind, axis, None, _number(cells, "angle_deg"), energy)
    if not cells.get("plane"):
        raise ValueError("plane or angle_deg must be given")
    if kind != TILT:
        raise ValueError(f"angle_deg must be given for the kind {kind}")
    return ReferencePoint(
        elements, kind, axis, coprime(three_plane(parsed(cells["plane"]))), None, energy
    )


def _number(cells: dict[str, str], name: str) -> float:
    """A finite number.

    Raises:
        ValueError: if the line has none in this column.
    """
    text = cells.get(name, "")
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        given = shortened(repr(text)) if text else "nothing"
        raise ValueError(f"{name!r} must be a number, got {given}")
    return number


def _family(axis: Indices) -> Miller:
    return family(three_direction(axis))
