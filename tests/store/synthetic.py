"""Candidates with made-up numbers."""

import numpy as np

from gcd_hpc.store.parts import read_part, write_part
from gcd_hpc.store.schema import FIELDS, Candidate, candidate_id

CONFIG = "name: test\nboundary:\n  element: W\n"


def read_row(path, row):
    """The candidate of one row, read alone."""
    return read_part(path, [row])[0]


def make_candidate(index, source="search", version=0, num_atoms=30, status="ok", **more):
    rng = np.random.default_rng([index, version])
    relaxed = status == "ok"
    values = {
        "registry": rng.uniform(0, 1.5, 3),
        "registry_relaxed": rng.uniform(0, 1.5, 3),
        "num_atoms": num_atoms,
        "n_index": num_atoms % 10,
        "n_fraction": (num_atoms % 10) / 10,
        "gb_energy_j_m2": 2.3 + index / 100 if relaxed else float("nan"),
        "converged": relaxed,
        "cell": (10.008, 10.008, 60.05),
        "unrelaxed_positions": rng.uniform(0, 10, (num_atoms, 3)),
        "positions": rng.uniform(0, 10, (num_atoms, 3)) if relaxed else np.empty(0),
        "energies_ev": rng.normal(-8.7, 0.1, num_atoms) if relaxed else np.empty(0),
        "cohesive_ev": -8.76,
        "area_a2": 100.163,
    }
    return Candidate(
        candidate_id(source, version, index),
        source,
        version,
        version,
        index,
        7,
        status,
        **(values | more),
    )


def assert_same(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        for field in FIELDS:
            np.testing.assert_array_equal(
                getattr(one, field.name), getattr(other, field.name), err_msg=field.name
            )


def write_golden(path):
    """The file that later versions must still read."""
    atoms = [[0.0, 0.0, 1.0], [1.0, 0.0, 2.0], [0.0, 1.0, 3.5]]
    found = Candidate(
        *("search-000000", "search", 0, 0, 0, 7, "ok"),
        registry=(0.25, 0.5, 0.125),
        num_atoms=3,
        gb_energy_j_m2=2.297,
        converged=True,
        cell=(10.0, 10.0, 60.0),
        unrelaxed_positions=atoms,
        positions=atoms,
        energies_ev=[-8.0, -8.5, -8.25],
    )
    failed = Candidate("model-01-000007", "model", 1, 1, 7, 7, "failed", reason="Ø atoms")
    write_part(path, [found, failed], {"config": CONFIG})
