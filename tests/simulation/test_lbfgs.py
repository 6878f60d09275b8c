"""The minimiser by itself, on landscapes whose minimum is known."""

import numpy as np
import pytest

from gcd_hpc.simulation.lbfgs import minimize, spring_preconditioner

LENGTHS = np.array([8.0, 8.0])


def chain(num: int, stiffness: float = 3.0):
    """A chain of springs from a wall, pulled at its end: energy, gradient and minimum."""

    def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
        stretch = np.diff(x, axis=0, prepend=np.zeros((1, 3)))
        tension = stiffness * stretch
        gradient = tension - np.concatenate([tension[1:], np.zeros((1, 3))])
        gradient[-1, 2] -= 0.01
        return 0.5 * float((stretch * tension).sum()) - 0.01 * x[-1, 2], gradient

    minimum = np.zeros((num, 3))
    minimum[:, 2] = 0.01 / stiffness * np.arange(1, num + 1)
    return evaluate, minimum


def chain_preconditioner(num: int):
    positions = np.stack([np.full(num + 1, 4.0), np.full(num + 1, 4.0), 2.0 * np.arange(num + 1)], axis=1)
    return spring_preconditioner(positions, LENGTHS, np.arange(-1, num), num)


def test_the_minimum_is_found():
    evaluate, expected = chain(60)
    minimum = minimize(evaluate, chain_preconditioner(60), 60, ftol=1e-6, max_evaluations=1000)
    assert minimum.stop_reason == "force tolerance"
    np.testing.assert_allclose(minimum.displacements, expected, atol=1e-4)


def test_neighbours_bring_it_there_sooner():
    evaluate, _ = chain(60)
    with_springs = minimize(evaluate, chain_preconditioner(60), 60, 1e-6, 1000)
    without = minimize(evaluate, lambda gradient: 0.1 * gradient, 60, 1e-6, 1000)
    assert with_springs.evaluations < without.evaluations / 2


def test_every_evaluation_is_counted_and_none_beyond_the_limit():
    evaluate, _ = chain(60)
    calls = []
    minimum = minimize(lambda x: (calls.append(0), evaluate(x))[1], lambda gradient: 0.1 * gradient, 60, 1e-6, 20)
    assert minimum.stop_reason == "max force evaluations"
    assert minimum.evaluations == len(calls) == 20


def test_a_wall_of_infinite_energy_is_not_climbed():
    def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
        energy = float(((x - 0.3) ** 2).sum()) if x.max() < 0.35 else np.inf
        return energy, 2 * (x - 0.3)

    minimum = minimize(evaluate, lambda gradient: 10 * gradient, 4, 1e-8, 200)
    np.testing.assert_allclose(minimum.displacements, 0.3, atol=1e-6)


def test_a_gradient_that_is_not_one_is_reported_as_a_failed_line_search():
    minimum = minimize(lambda x: (float((x**2).sum()), np.full_like(x, 1.0) - 2 * x * 0), lambda g: g, 2, 1e-3, 500)
    assert minimum.stop_reason == "linesearch failed"


def test_the_preconditioner_is_symmetric_and_the_same_along_each_axis():
    rng = np.random.default_rng(0)
    positions = rng.random((40, 3)) * [8.0, 8.0, 20.0]
    bodies = np.where(positions[:, 2] < 5, -1, np.cumsum(positions[:, 2] >= 5) - 1)
    num = int(bodies.max()) + 1
    precondition = spring_preconditioner(positions, LENGTHS, bodies, num)
    inverse = precondition(np.eye(num))
    np.testing.assert_allclose(inverse, inverse.T, atol=1e-12)
    assert np.linalg.eigvalsh(inverse).min() > 0
    gradient = rng.standard_normal((num, 3))
    np.testing.assert_allclose(precondition(gradient), inverse @ gradient, atol=1e-12)


@pytest.mark.parametrize("shift", [[0.0, 0.0, 7.0], [3.0, -2.0, 0.0]])
def test_the_preconditioner_does_not_depend_on_where_the_cell_begins(shift: list[float]):
    positions = np.random.default_rng(0).random((40, 3)) * [8.0, 8.0, 20.0]
    bodies, gradient = np.arange(40), np.random.default_rng(1).standard_normal((40, 3))
    here, there = (spring_preconditioner(points, LENGTHS, bodies, 40)(gradient) for points in (positions, positions + shift))
    np.testing.assert_allclose(here, there, atol=1e-9)
