"""Tables of spectra with made-up numbers."""

import numpy as np
from ase import Atoms

from gcd_hpc.spectra.table import FAILED, OK, SpectrumTable, texts
from gcd_hpc.spectra.table_file import Labelled


def make_structures(num=3, num_atoms=5):
    rng = np.random.default_rng(0)
    return [
        Atoms(
            f"C{num_atoms}",
            rng.uniform(0, 6, (num_atoms, 3)),
            cell=np.diag([6.0, 7.0, 8.0]),
            pbc=(True, True, number > 0),
            info={"name": f"frame {number}"},
        )
        for number in range(num)
    ]


def make_table(rows=((0, 1), (0, 4), (2, 0), (2, 3)), num_energies=7, failed=(1,), **more):
    """A table whose spectra are random, with some failed rows by their place."""
    rng = np.random.default_rng(1)
    values = rng.uniform(0, 2, (len(rows), num_energies))
    values[list(failed)] = np.nan
    is_failed = [place in failed for place in range(len(rows))]
    fields = {
        "structure": np.array([one for one, _ in rows], dtype=np.int64),
        "atom": np.array([atom for _, atom in rows], dtype=np.int64),
        "values": values,
        "status": texts(FAILED if bad else OK for bad in is_failed),
        "reason": texts("no answer within 9 s" if bad else "" for bad in is_failed),
        "seconds": np.linspace(1, 2, len(rows)),
        "energies_ev": np.linspace(280, 300, num_energies),
        "element": "C",
        "edge": "K",
        "engine": "feff10",
        "version": "0.2.4",
        "settings": '{"scf": [2.8, 8], "fms_a": 4.0}',
    }
    return SpectrumTable(**(fields | more))


def make_labelled(**more):
    return Labelled(make_structures(), make_table(**more))


def assert_same_tables(left, right):
    for name in ("structure", "atom", "values", "status", "reason", "seconds"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
    np.testing.assert_equal(left.energies_ev, right.energies_ev)
    assert left.sha256 == right.sha256
