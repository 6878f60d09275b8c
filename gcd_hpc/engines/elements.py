"""Check of the elements that a potential describes, from its commands and files."""

from collections.abc import Mapping, Sequence

from ase.data import chemical_symbols

from gcd_hpc.engines.formats import elements_in, library_elements
from gcd_hpc.engines.setfl import base_style
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
        # The files of mliap stand in pair_style.
        named = [*arguments, *style] if style_name == "mliap" else arguments
        files = [contents[word] for word in named if word in contents]
        held = elements_in(style_name, files) if files else None
        if len(elements) == 1:
            found = [_element_of(style_name, arguments, files)]
            wanted = list(elements)
        else:
            found = _elements_of(style_name, arguments, files, len(elements))
            wanted = _elements_of_types(elements, line[:2])
        if held is not None and style_name == "eam":
            found = list(held)
        # NULL leaves a type to another style of a hybrid one.
        wrong = [
            one for one, own in zip(found, wanted, strict=False) if one not in (own, None, "NULL")
        ]
        if wrong or (len(elements) > 1 and found and len(found) != len(wanted)):
            raise PotentialError(
                f"pair_coeff {' '.join(line)} is a potential of {_listed(found)}, but"
                f" {_key(elements)} {_listed(elements)}; use a potential of {_listed(elements)}"
            )
        if held is not None and any(one not in (*held, "NULL", None) for one in found):
            name = next(word for word in named if word in contents)
            raise PotentialError(
                f"potential file {name} holds {', '.join(held)}, but {_key(elements)}"
                f" {_listed(elements)}; use a potential of {_listed(elements)}"
            )


def _key(elements: Sequence[str]) -> str:
    return "the campaign's element is" if len(elements) == 1 else "the campaign's elements are"


def _listed(elements: Sequence[str | None]) -> str:
    return ", ".join(one for one in elements if one is not None)


def _elements_of(
    name: str, arguments: Sequence[str], files: Sequence[bytes], num: int
) -> list[str | None]:
    """Elements of the atom types that a pair_coeff ends with; empty if it ends otherwise."""
    by_label = _labels(name, files)
    last = [by_label.get(word, word) for word in arguments[-num:]]
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
    element = _labels(name, files).get(last, last)
    return element if element in chemical_symbols[1:] else None


def _labels(name: str, files: Sequence[bytes]) -> dict[str, str]:
    """Elements of the labels of a library of MEAM, the first file; empty for other styles."""
    if not files or not name.startswith("meam"):
        return {}
    return library_elements(files[0].decode(errors="replace"))


def _by_number(text: str) -> str | None:
    try:
        return chemical_symbols[int(float(text))]
    except (ValueError, IndexError, OverflowError):
        return None
