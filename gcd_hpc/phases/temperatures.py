"""Temperatures as commands take them: in K, or in melting points of the element."""

import re

import numpy as np

from gcd_hpc.campaign.draft import MELTING_K
from gcd_hpc.errors import GcdError

NUM_TEMPERATURES = 11
_NUMBER = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(Tm|K)?", re.IGNORECASE)


def temperature_of(text: str, element: str) -> float:
    """One temperature in K from a text such as ``900`` or ``0.3Tm``.

    Raises:
        GcdError: if it is no temperature, or if the melting point of the element is not known.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise GcdError(f"a temperature must be a number of K, or such as 0.3Tm, got {text!r}")
    value, unit = float(match[1]), (match[2] or "K").lower()
    if unit == "k":
        return value
    if element not in MELTING_K:
        raise GcdError(
            f"the melting point of {element} is not known, so that {text} is no temperature; give"
            " it in K"
        )
    return value * MELTING_K[element]


def temperatures_of(text: str, element: str) -> list[float]:
    """Temperatures in K from a text such as ``0:0.5Tm`` or ``300:1500:13``.

    Raises:
        GcdError: as ``temperature_of``, and if the range is not one.
    """
    parts = text.split(":")
    if len(parts) == 1:
        return [temperature_of(text, element)]
    num = parts[2] if len(parts) > 2 else str(NUM_TEMPERATURES)
    if len(parts) > 3 or not num.isdecimal() or not 2 <= int(num) <= 1001:
        raise GcdError(
            "a range of temperatures must be FROM:TO or FROM:TO:NUM with 2 to 1001 of them, got"
            f" {text!r}"
        )
    low, high = (temperature_of(part, element) for part in parts[:2])
    if high <= low:
        raise GcdError(f"a range of temperatures must end above its beginning, got {text!r}")
    return [float(one) for one in np.linspace(low, high, int(num))]
