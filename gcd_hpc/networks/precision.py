"""Number type that a network computes in."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]


def autocast_dtype(precision: Precision, device: torch.device | str) -> torch.dtype | None:
    """Data type for torch.autocast, or None for float32; "auto" is bfloat16 if it is native."""
    if precision == "float32":
        return None
    if precision == "bfloat16" or has_native_bfloat16(torch.device(device)):
        return torch.bfloat16
    return None


@contextmanager
def computing(precision: Precision, device: torch.device) -> Iterator[None]:
    """Context in which a network computes its output in a number type."""
    dtype = autocast_dtype(precision, device)
    with exact_convolutions(device), torch.autocast(device.type, dtype, enabled=dtype is not None):
        yield


def exact_convolutions(device: torch.device) -> AbstractContextManager[None]:
    """Context in which a GPU convolves float32 numbers in float32, with the same bits each time.

    By default cuDNN rounds them to TF32, with 10 of the 23 bits, and may add the parts of a
    gradient in any order. The backward pass needs this context too.
    """
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether matrix products of bfloat16 are faster than of float32 on this device."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # torch's checks have private names that have changed before; without them assume no support.
    checks = (
        getattr(torch.cpu, name, None)
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return any(check() for check in checks if check is not None)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread: more would change the order of sums, and so the bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
