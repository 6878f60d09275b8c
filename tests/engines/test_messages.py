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
        "column": np.arange(12.0).reshape(4, 3)[:, 1],
        "number": np.zeros(()),
    }
    got_header, got_arrays = unpack(pack(header, arrays))
    assert got_header == header
    assert list(got_arrays) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(got_arrays[name], array)
        assert got_arrays[name].dtype == array.dtype


def test_no_pickle_crosses_the_pipe():
    with pytest.raises(ValueError, match="objects: arrays of Python objects"):
        pack({}, {"objects": np.array([object()])})


def test_a_message_that_is_cut_short_is_an_error():
    body = pack({"a": 1}, {"positions": np.zeros((5, 3))})
    for length in (0, 5, 20, len(body) - 1):
        with pytest.raises(ValueError, match="not whole"):
            unpack(body[:length])
