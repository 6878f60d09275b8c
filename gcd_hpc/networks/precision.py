"""Number type that a network computes in."""

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
