"""Check of the elements that a potential describes, from its commands and files."""

import re
from collections.abc import Mapping, Sequence

from ase.data import chemical_symbols

from gcd_hpc.engines.setfl import base_style, read_head
from gcd_hpc.errors import PotentialError


def check_elements(
    elements: Sequence[str],
    style: Sequence[str],
    lines: Sequence[Sequence[str]],
    contents: Mapping[str, bytes],
) -> None:
    """Refuse a potential of other elements.

    Args:
        elements: of LAMMPS' atom types, in their order.
        style: words of pair_style.
        lines: words of each pair_coeff.
        contents: contents of the potential's files, by the words that name them.

    Raises:
        PotentialError: if a pair_coeff names another element, or a file lacks one.
    """
    for line in lines:
        style_name, arguments = _style_of(style, line)
        files = [contents[word] for word in arguments if word in contents]
        head = read_head(style_name, files[0]) if files else None
        if len(elements) == 1:
            found = [_element_of(style_name, arguments, files)]
            wanted = list(elements)
        else:
            found = _elements_of(arguments, len(elements))
            wanted = _elements_of_types(elements, line[:2])
        if head is not None and style_name == "eam":
            found = list(head.elements)
        # NULL leaves a type to another style of a hybrid one.
        wrong = [
            one for one, own in zip(found, wanted, strict=False) if one not in (own, None, "NULL")
        ]
        if wrong or (len(elements) > 1 and found and len(found) != len(wanted)):
            raise PotentialError(
                f"pair_coeff {' '.join(line)} is a potential of {_listed(found)}, but"
                f" {_key(elements)} {_listed(elements)}; use a potential of {_listed(elements)}"
            )
        missing = [one for one in found if head is not None and one not in (*head.elements, "NULL")]
        if head is not None and missing and missing != [None]:
            raise PotentialError(
                f"potential file {arguments[0]} holds {', '.join(head.elements)}, but"
                f" {_key(elements)} {_listed(elements)}; use a potential of {_listed(elements)}"
            )


def _key(elements: Sequence[str]) -> str:
    return "boundary.element is" if len(elements) == 1 else "boundary.elements are"


def _listed(elements: Sequence[str | None]) -> str:
    return ", ".join(one for one in elements if one is not None)


def _elements_of(arguments: Sequence[str], num: int) -> list[str | None]:
    """Elements of the atom types that a pair_coeff ends with; empty if it ends otherwise."""
    last = list(arguments[-num:])
    known = len(last) == num and all(one in ("NULL", *chemical_symbols[1:]) for one in last)
    return list(last) if known else []


def _elements_of_types(elements: Sequence[str], types: Sequence[str]) -> list[str]:
    """Elements of the types of a pair_coeff: all, or those of `1 1` where it is for one type."""
    if len(set(types)) == 1 and types[0].isdigit() and int(types[0]) <= len(elements):
        return [elements[int(types[0]) - 1]]
    return list(elements)


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
