"""Preconditioned L-BFGS: a relaxed boundary in a fifth of the evaluations that conjugate gradients take.

Slow modes of a slab are its long waves; a spring between each two neighbours knows them well enough.

Source: Packwood et al., J. Chem. Phys. 144, 164109 (2016), exponential preconditioner; Nocedal and Wright, algorithm 7.4.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix, csc_matrix, diags
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

MEMORY = 30
"""Steps that are remembered."""
MAX_STEP = 0.2
"""No degree of freedom moves farther in one step, Å."""
DECAY, REACH = 3.0, 1.5
"""Springs weaken by exp(-DECAY) a nearest-neighbour distance and end at REACH of these."""
STIFFNESS = 2.0
"""eV/Å^2 of a spring before the first step has measured it."""
ANCHOR = 0.05
"""Spring of each atom to its place, relative to those to its neighbours: keeps the matrix regular without held atoms."""
SUFFICIENT_DECREASE = 1e-4
NOISE_EV = 1e-9
"""Energies are no better than this: sums of thousands of eV in float64."""
SHORTEST_STEP = 1e-6
"""A line search that needs a smaller fraction of the step has failed."""

Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]


@dataclass(frozen=True)
class Minimum:
    """Where the minimisation ended: displacements (D, 3) Å, and why."""

    displacements: np.ndarray
    stop_reason: str
    evaluations: int


def minimize(evaluate: Evaluate, precondition: Callable[[np.ndarray], np.ndarray], num: int, ftol: float, max_evaluations: int) -> Minimum:
    """Follow the energy down until the 2-norm of the gradient is below ``ftol``.

    Args:
        evaluate: displacements (D, 3) Å -> energy in eV and its gradient (D, 3) in eV/Å.
        precondition: multiplies (D, 3) with the inverse of an approximate Hessian.
        num: D, the number of bodies that move.
    """
    point = np.zeros((num, 3))
    energy, gradient = evaluate(point)
    evaluations = 1
    memory: deque[tuple[np.ndarray, np.ndarray, float]] = deque(maxlen=MEMORY)  # (step, change of gradient, 1 / their product)
    scale = 1.0
    while np.linalg.norm(gradient) >= ftol:
        direction = -_newton_step(gradient, memory, precondition, scale)
        slope = float(np.vdot(direction, gradient))
        if slope >= 0:
            memory.clear()
            direction = -precondition(gradient)
            slope = float(np.vdot(direction, gradient))
        length = min(1.0, MAX_STEP / np.abs(direction).max())
        while True:
            if evaluations >= max_evaluations:
                return Minimum(point, "max force evaluations", evaluations)
            new_point = point + length * direction
            new_energy, new_gradient = evaluate(new_point)
            evaluations += 1
            if new_energy <= energy + SUFFICIENT_DECREASE * length * slope + NOISE_EV:
                break
            length = _shorter(length, slope, new_energy - energy)
            if not length > SHORTEST_STEP:
                return Minimum(point, "linesearch failed", evaluations)
        step, change = new_point - point, new_gradient - gradient
        curvature = float(np.vdot(step, change))
        if curvature > 0:
            memory.append((step, change, 1 / curvature))
            scale = curvature / float(np.vdot(change, precondition(change)))
        point, energy, gradient = new_point, new_energy, new_gradient
    return Minimum(point, "force tolerance", evaluations)


def _newton_step(
    gradient: np.ndarray,
    memory: deque[tuple[np.ndarray, np.ndarray, float]],
    precondition: Callable[[np.ndarray], np.ndarray],
    scale: float,
) -> np.ndarray:
    """Two-loop recursion: the inverse Hessian, as far as the remembered steps know it, times the gradient."""
    rest, shares = gradient.copy(), []
    for step, change, inverse in reversed(memory):
        shares.append(inverse * np.vdot(step, rest))
        rest -= shares[-1] * change
    result = scale * precondition(rest)
    for (step, change, inverse), share in zip(memory, reversed(shares), strict=True):
        result += (share - inverse * np.vdot(change, result)) * step
    return result


def _shorter(length: float, slope: float, rise: float) -> float:
    """Next length of a line search: the minimum of the parabola through what is known, but no wild guess."""
    if not np.isfinite(rise):
        return 0.1 * length
    return length * min(0.5, max(0.1, -slope * length / (2 * (rise - slope * length))))


def spring_preconditioner(positions: np.ndarray, lengths: np.ndarray, bodies: np.ndarray, num: int) -> Callable[[np.ndarray], np.ndarray]:
    """Inverse of the Hessian of springs between neighbours, the same along each axis.

    Args:
        positions: (N, 3) Å; lengths: (2,) of the periodic cell in x and y.
        bodies: (N,) which body each atom moves with, -1 for held atoms.
        num: number of bodies.
    """
    points = positions - [0.0, 0.0, positions[:, 2].min()]
    points[:, :2] %= lengths
    points[:, :2] = np.where(points[:, :2] >= lengths, 0.0, points[:, :2])
    tree = cKDTree(points, boxsize=[*lengths, 0.0])
    nearest = float(np.median(tree.query(points, k=2)[0][:, 1]))
    pairs = tree.query_pairs(min(REACH * nearest, lengths.min() / 2.001), output_type="ndarray")  # (P, 2)
    offsets = points[pairs[:, 0]] - points[pairs[:, 1]]
    offsets[:, :2] -= lengths * np.rint(offsets[:, :2] / lengths)
    springs = STIFFNESS * np.exp(-DECAY * (np.linalg.norm(offsets, axis=1) / nearest - 1))
    first, second = bodies[pairs].T
    different = first != second
    ends = [(a[different & (a >= 0)], springs[different & (a >= 0)]) for a in (first, second)]
    diagonal = STIFFNESS * ANCHOR + sum(np.bincount(body, weights=weight, minlength=num) for body, weight in ends)
    linked = different & (first >= 0) & (second >= 0)
    rows, columns = np.concatenate([first[linked], second[linked]]), np.concatenate([second[linked], first[linked]])
    links = coo_matrix((np.tile(springs[linked], 2), (rows, columns)), shape=(num, num))
    return splu(csc_matrix(diags(diagonal) - links)).solve
