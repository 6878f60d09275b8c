"""When a network is compiled without being told to."""

import pytest
import torch

from gcd_hpc.learning.training import is_compiled_for


@pytest.mark.parametrize(
    ("device", "num_steps", "given", "expected"),
    [
        ("cuda", 2500, "auto", False),
        ("cuda", 4000, "auto", True),
        ("cpu", 100_000, "auto", False),
        ("cuda", 10, True, True),
        ("cpu", 10, True, True),
        ("cuda", 100_000, False, False),
    ],
)
def test_auto_compiles_long_trainings_on_a_gpu_only(device, num_steps, given, expected):
    # The device is only named, so that no GPU is needed.
    assert is_compiled_for(torch.device(device), num_steps, given) is expected
