"""Which number type is used where."""

import pytest
import torch

from gcd_hpc.networks.precision import autocast_dtype, computing, has_native_bfloat16


@pytest.fixture
def processor(monkeypatch):
    def pretend(avx512, amx):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512, raising=False)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)

    return pretend


@pytest.mark.parametrize(
    ("avx512", "amx", "expected"),
    [(False, False, None), (True, False, torch.bfloat16), (False, True, torch.bfloat16)],
)
def test_auto_is_bfloat16_where_the_processor_multiplies_it(processor, avx512, amx, expected):
    processor(avx512, amx)
    assert autocast_dtype("auto", "cpu") is expected


def test_a_stated_precision_wins_over_the_hardware(processor):
    processor(False, False)
    assert autocast_dtype("bfloat16", "cpu") is torch.bfloat16
    processor(True, True)
    assert autocast_dtype("float32", "cpu") is None


@pytest.mark.gpu
def test_float32_on_a_gpu_convolves_with_all_bits_of_float32():
    rng = torch.Generator().manual_seed(0)
    array = torch.randn(2, 32, 6, 6, 30, generator=rng, dtype=torch.float64)
    kernel = torch.randn(32, 32, 3, 3, 3, generator=rng, dtype=torch.float64)
    exact = torch.nn.functional.conv3d(array, kernel)
    gpu = torch.device("cuda")
    with computing("float32", gpu):
        found = torch.nn.functional.conv3d(array.to(gpu).float(), kernel.to(gpu).float())
    # Sums of 864 products: float32 errs by some 1e-7 of their size, TF32 by some 1e-4.
    error = (found.cpu().double() - exact).norm() / exact.norm()
    assert error < 5e-6


def test_a_torch_without_the_checks_counts_the_processor_as_old(monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert not has_native_bfloat16(torch.device("cpu"))
