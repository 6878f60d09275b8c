"""Which element a potential describes, as far as its commands and files say."""

import re
from collections.abc import Mapping, Sequence

from ase.data import chemical_symbols

from gcd_hpc.errors import PotentialError

_ACCELERATED = re.compile(r"/(gpu|intel|kk|omp|opt)$")
_SETFL = ("eam/alloy", "eam/fs", "eam/he", "adp")


def check_element(
    element: str,
    style: Sequence[str],
    lines: Sequence[Sequence[str]],
    contents: Mapping[str, bytes],
) -> None:
    """Refuse a potential of another element.

    Args:
        style: words of pair_style.
        lines: words of each pair_coeff.
        contents: of the potential's files, by the words that name them.

    Raises:
        PotentialError: if a pair_coeff names another element, or a file does not hold this one.
    """
    for line in lines:
        name, arguments = _style_of(style, line)
        texts = [contents[word].decode(errors="replace") for word in arguments if word in contents]
        found = _element_of(name, arguments, texts)
        if found is not None and found != element:
            raise PotentialError(
                f"pair_coeff {' '.join(line)} is a potential of {found}, but"
                f" boundary.element is {element}; use a potential of {element}"
            )
        if name in _SETFL and texts:
            _check_setfl(element, arguments, texts[0])


def _style_of(style: Sequence[str], line: Sequence[str]) -> tuple[str, list[str]]:
    """Name of the style that one pair_coeff belongs to, and its arguments behind the types."""
    name, arguments = style[0], list(line[2:])
    if name.startswith("hybrid") and arguments:
        name = arguments.pop(0)
        # A style that occurs several times is numbered.
        if style.count(name) > 1 and arguments and arguments[0].isdigit():
            arguments.pop(0)
    return _ACCELERATED.sub("", name), arguments


def _element_of(name: str, arguments: Sequence[str], texts: Sequence[str]) -> str | None:
    """The element that one pair_coeff names; None where it names none.

    There is one type of atom, so that the last word of a style that maps elements is its element.
    """
    if name == "eam":
        head = texts[0].splitlines()[1:2] if texts else []
        return _by_number(head[0].split()[0]) if head and head[0].split() else None
    if not arguments or name == "table":
        return None
    last = arguments[-1]
    if name in ("zbl", "quip"):
        return _by_number(last)
    if name.startswith("meam") and texts:
        # 'label' 'lattice' neighbours atomic-number mass
        entry = re.search(rf"^\s*'?{re.escape(last)}'?\s+'?\w+'?\s+\S+\s+(\d+)", texts[0], re.M)
        if entry is not None:
            return _by_number(entry[1])
    return last if last in chemical_symbols[1:] else None


def _by_number(text: str) -> str | None:
    try:
        return chemical_symbols[int(float(text))]
    except (ValueError, IndexError, OverflowError):
        return None


def _check_setfl(element: str, arguments: Sequence[str], text: str) -> None:
    """The fourth line of a setfl file holds the number of elements and their names."""
    fourth = text.splitlines()[3:4]
    names = fourth[0].split()[1:] if fourth else []
    if names and arguments[-1] == element and element not in names:
        raise PotentialError(
            f"potential file {arguments[0]} holds {', '.join(names)}, but boundary.element is"
            f" {element}; use a potential of {element}"
        )
