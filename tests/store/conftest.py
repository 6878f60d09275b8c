"""A ragged handful of candidates."""

import pytest

from tests.store.synthetic import CONFIG, make_candidate


@pytest.fixture(scope="session")
def provenance():
    return {"config": CONFIG, "stage": "search"}


@pytest.fixture(scope="session")
def candidates():
    """Ragged, one without atoms, one failed, with letters beyond ASCII."""
    return [
        make_candidate(0, num_atoms=31),
        make_candidate(
            1, num_atoms=40, status="failed", reason="LAMMPS: Größe der Kraft ist ∞\nlost atoms"
        ),
        make_candidate(2, num_atoms=0, status="invalid", reason="no atoms"),
        make_candidate(3, num_atoms=35, target_energy_j_m2=2.5),
    ]
