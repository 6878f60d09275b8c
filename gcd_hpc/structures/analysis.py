"""Radial distribution functions and Steinhardt bond order parameters, computed by freud."""

from collections.abc import Iterable
from math import ceil

import freud
import numpy as np
from numpy.typing import ArrayLike, NDArray

from gcd_hpc.structures.periodic import cartesian, edges_and_tilt, heights

Array = NDArray[np.float64]
Periodic = tuple[bool, bool, bool]


def rdf(
    positions: ArrayLike,
    lengths: ArrayLike,
    r_max: float,
    num_bins: int = 100,
    pbc: Periodic = (True, True, True),
) -> tuple[Array, Array]:
    """Radial distribution function; 1 for an ideal gas of the box's mean density.

    Args:
        positions: (N, 3) Å.
        lengths: (3,) of the box, Å; small boxes are repeated until r_max fits.

    Returns:
        Bin centres (num_bins,) in Å, and g(r) (num_bins,).
    """
    system = _system(positions, lengths, pbc, r_max)
    result = freud.density.RDF(bins=num_bins, r_max=r_max).compute(system)
    return np.array(result.bin_centers, dtype=float), np.array(result.rdf, dtype=float)


def mean_rdf(
    structures: Iterable[ArrayLike], lengths: ArrayLike, r_max: float, num_bins: int
) -> tuple[Array, Array]:
    """Bin centres and mean ``rdf`` of structures (N, 3) in boxes of equal lengths."""
    curves = [rdf(positions, lengths, r_max, num_bins) for positions in structures]
    return curves[0][0], np.mean([g for _, g in curves], axis=0)


def rdf_around(
    positions: ArrayLike,
    chosen: ArrayLike,
    cell: ArrayLike,
    r_max: float,
    density: float,
    num_bins: int = 100,
    pbc: Periodic = (True, True, True),
) -> tuple[Array, Array]:  # fmt: skip
    """Radial distribution function around some of the atoms, relative to a given density.

    Args:
        positions: (N, 3) Å.
        chosen: (N,) bool, the central atoms; at least r_max away from open ends of the box.
        cell: lengths (3,) or vectors (3, 3) of the box, Å.
        density: number density at which g(r) is 1, atoms per Å^3.

    Returns:
        Bin centres (num_bins,) in Å, and g(r) (num_bins,).
    """
    points = np.asarray(positions, dtype=float)
    box, every = _system(points, cell, pbc, r_max)
    around = every[: len(points)][np.asarray(chosen, dtype=bool)]
    first = r_max / num_bins / 2  # no atom is its own neighbour
    neighbors = {"mode": "ball", "r_max": r_max, "r_min": first}
    result = freud.density.RDF(bins=num_bins, r_max=r_max).compute(
        (box, every), query_points=around, neighbors=neighbors
    )
    return (
        np.array(result.bin_centers, dtype=float),
        np.array(result.rdf, dtype=float) * len(every) / box.volume / density,
    )


def steinhardt(
    positions: ArrayLike,
    lengths: ArrayLike,
    order: int,
    num_neighbors: int,
    pbc: Periodic = (True, True, True),
    reach: float = 6.0,
) -> Array:
    """Steinhardt bond order parameter q_l of every atom over its nearest neighbours, (N,).

    Args:
        order: l, for instance 4 or 6.
        num_neighbors: 6 for sc, 8 for bcc, 12 for fcc.
        reach: distance within which these neighbours lie, Å; small boxes are repeated to fit it.

    Source: Steinhardt, Nelson, Ronchetti, Phys. Rev. B 28 (1983) 784.
    """
    num_atoms = len(np.asarray(positions))
    system = _system(positions, lengths, pbc, reach)
    result = freud.order.Steinhardt(order).compute(
        system, neighbors={"num_neighbors": num_neighbors}
    )
    return np.array(result.particle_order, dtype=float)[:num_atoms]


def _system(
    positions: ArrayLike, cell: ArrayLike, pbc: Periodic, reach: float
) -> tuple[freud.box.Box, Array]:
    """freud's box, centred on zero, and atoms repeated until it holds a sphere of the reach."""
    points = np.asarray(positions, dtype=float)
    edges, tilt = edges_and_tilt(cell)
    copies = np.array(
        [
            ceil(2.001 * reach / side) if periodic else 1
            for side, periodic in zip(heights(cell), pbc, strict=True)
        ]
    )
    numbers = np.stack(
        np.meshgrid(*(np.arange(number) for number in copies), indexing="ij"), axis=-1
    ).reshape(-1, 1, 3)
    points = (points + cartesian(numbers, cell)).reshape(
        -1, 3
    )  # (num_copies N, 3), originals first
    periodic_box = freud.box.Box(
        *(edges * copies).tolist(), xy=copies[1] * tilt / (edges * copies)[1]
    )
    periodic_box.periodic = list(pbc)
    return periodic_box, points - cartesian(copies, cell) / 2
