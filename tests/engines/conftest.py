"""The paper's boundary, its potential, and one LAMMPS child for tests that do not kill it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from gcd_hpc.config.campaign import (
    BoundaryConfig,
    PotentialConfig,
    RelaxationConfig,
    SearchConfig,
    Triad,
)
from gcd_hpc.engines.bulk import Bulk, measure_bulk
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.jobs import Anneal, RelaxJob
from gcd_hpc.engines.potentials import Potential, find_potential
from gcd_hpc.engines.relaxation import SCREEN, Slab
from gcd_hpc.search.tries import search_start
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import Frame

MINUTES_OF_DYNAMICS = Anneal(temperature_k=1000.0, num_steps=500_000, timestep_ps=0.002, seed=1)
SIGMA5_LOWER, SIGMA5_UPPER = (
    Triad(x=(3, -1, 0), y=(1, 3, 0), z=(0, 0, 1)),
    Triad(x=(3, 1, 0), y=(-1, 3, 0), z=(0, 0, 1)),
)


def eam_alloy(file: str, *elements: str) -> Potential:
    """A potential of the style eam/alloy that ships with LAMMPS, for some of its elements."""
    coeff = f"* * {{file}} {' '.join(elements)}"
    config = PotentialConfig(pair_style="eam/alloy", pair_coeff=coeff, file=file)
    return find_potential(config, elements, Path())


@pytest.fixture(scope="session")
def potential() -> Potential:
    return eam_alloy("W_zhou.eam.alloy", "W")


@pytest.fixture(scope="session")
def bulk(potential: Potential) -> Bulk:
    return measure_bulk(potential, "W", "bcc")


@pytest.fixture(scope="session")
def frame() -> Frame:
    return sigma5_frame()


def sigma5_frame() -> Frame:
    """Two slabs of 27 Å of the paper's boundary; the lattice constant is known."""
    bicrystal = Bicrystal.build(
        BoundaryConfig(element="W", lattice="bcc", lower=SIGMA5_LOWER, upper=SIGMA5_UPPER), 3.164849
    )
    return Frame.build(bicrystal, (27.0, 27.0), 60.05)


@pytest.fixture(scope="session")
def config() -> RelaxationConfig:
    return RelaxationConfig()


@pytest.fixture(scope="session")
def child(potential: Potential) -> Iterator[LammpsChild]:
    with LammpsChild(potential, 60.0) as process:
        yield process


@pytest.fixture
def mortal_child(potential: Potential) -> Iterator[LammpsChild]:
    with LammpsChild(potential, 60.0) as process:
        yield process


@pytest.fixture(scope="session")
def start(frame: Frame) -> Atoms:
    """One try of the search."""
    atoms, _, _ = search_start(frame, SearchConfig(num_tries=1), np.random.default_rng(7))
    return atoms


@pytest.fixture(scope="session")
def job(start: Atoms, frame: Frame, bulk: Bulk, config: RelaxationConfig) -> RelaxJob:
    slab = Slab.of(start, frame.bicrystal, bulk, config)
    return slab.job(SCREEN, slab.positions, None)
