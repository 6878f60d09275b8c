"""Check of the element that a potential describes, from its commands and files."""

import re
from collections.abc import Mapping, Sequence

from ase.data import chemical_symbols

from gcd_hpc.engines.setfl import base_style, read_head
from gcd_hpc.errors import PotentialError


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
        contents: contents of the potential's files, by the words that name them.

    Raises:
        PotentialError: if a pair_coeff names another element, or a file lacks this one.
    """
    for line in lines:
        style_name, arguments = _style_of(style, line)
        files = [contents[word] for word in arguments if word in contents]
        head = read_head(style_name, files[0]) if files else None
        found = _element_of(style_name, arguments, files)
        if head is not None and style_name == "eam":
            (found,) = head.elements
        if found is not None and found != element:
            raise PotentialError(
                f"pair_coeff {' '.join(line)} is a potential of {found}, but boundary.element is"
                f" {element}; use a potential of {element}"
            )
        if head is not None and found == element and element not in head.elements:
            raise PotentialError(
                f"potential file {arguments[0]} holds {', '.join(head.elements)}, but"
                f" boundary.element is {element}; use a potential of {element}"
            )


def _style_of(style: Sequence[str], line: Sequence[str]) -> tuple[str, list[str]]:
    """Name of the style of one pair_coeff, and its arguments after the types."""
    name, arguments = style[0], list(line[2:])
    if name.startswith("hybrid") and arguments:
        name = arguments.pop(0)
        # A style that occurs several times is numbered.
        if style.count(name) > 1 and arguments and arguments[0].isdigit():
            arguments.pop(0)
    return base_style(name), arguments


def _element_of(name: str, arguments: Sequence[str], files: Sequence[bytes]) -> str | None:
    """Element that one pair_coeff names, or None.

    There is one atom type, so the last word of a style that maps elements is its element.
    """
    if not arguments or name == "table":
        return None
    last = arguments[-1]
    if name in ("zbl", "quip"):
        return _by_number(last)
    if name.startswith("meam") and files:
        library = files[0].decode(errors="replace")
        # 'label' 'lattice' neighbours atomic-number mass
        entry = re.search(rf"^\s*'?{re.escape(last)}'?\s+'?\w+'?\s+\S+\s+(\d+)", library, re.M)
        if entry is not None:
            return _by_number(entry[1])
    return last if last in chemical_symbols[1:] else None


def _by_number(text: str) -> str | None:
    try:
        return chemical_symbols[int(float(text))]
    except (ValueError, IndexError, OverflowError):
        return None
