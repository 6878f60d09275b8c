"""The pipe between a process and its LAMMPS child."""

import numpy as np
import pytest

from gcd_hpc.engines.messages import pack, unpack


def test_a_message_comes_back_as_it_went():
    header = {"operation": "relax", "etol": 1e-15, "anneal": None}
    arrays = {
        "positions": np.random.default_rng(0).random((5, 3)),
        "fixed": np.array([True, False]),
        "none": np.empty((0, 3)),
    }
    got_header, got_arrays = unpack(pack(header, arrays))
    assert got_header == header
    assert list(got_arrays) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(got_arrays[name], array)
        assert got_arrays[name].dtype == array.dtype


def test_no_pickle_crosses_the_pipe():
    with pytest.raises(ValueError, match="allow_pickle=False"):
        pack({}, {"objects": np.array([object()])})
