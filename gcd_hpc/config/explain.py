"""What pydantic found wrong, in our words: one problem a key, with the expected and the given
value.
"""

import json
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gcd_hpc.config.reader import Path, dotted
from gcd_hpc.config.section import entries_of, section_of
from gcd_hpc.errors import did_you_mean, shortened

_EXPECTED = {
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "literal_error": "{expected}",
    "model_type": "a section of keys",
    "dict_type": "a section of keys",
    "tuple_type": "a list",
}
LONGEST_FAULT = 200
"""Longest excerpt of damaged text in a message, in characters."""
KIND_KEY = "property"
"""Key that says of which kind an entry of a list of sections is."""
UNKNOWN_KIND = ("union_tag_invalid", "union_tag_not_found")


def first_fault(error: ValidationError) -> str:
    """First fault of damaged JSON, in a few printable words."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    said = "no kind of event" if first["type"].startswith("union_tag") else first["msg"]
    text = f"{where}: {said}" if where else said
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:LONGEST_FAULT]


def explain(
    error: ValidationError, model: type[BaseModel], data: dict[str, Any]
) -> list[tuple[Path, str]]:
    """Path of the key and what is wrong with it, in the order of the model's keys; alternatives of
    one key are joined by "or".
    """
    by_path: dict[Path, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        by_path.setdefault(_path(detail, data), []).append(detail)
    texts = {path: _text(path, details, model) for path, details in by_path.items()}
    unknown = [path for path, details in by_path.items() if details[0]["type"] == "extra_forbidden"]
    meant = {(*path[:-1], near) for path in unknown for near in _near(path, model)}
    # A misspelt key is reported once, not also as missing, and a list with a wrong item not also as
    # no other alternative.
    lists = {path[:-1] for path in by_path if path}
    return [
        (path, text)
        for path, text in texts.items()
        if not (path in meant and by_path[path][0]["type"] == "missing")
        and not (path in lists and by_path[path][0]["type"] == "literal_error")
    ]


def fields(model: type[BaseModel], path: Path = ()) -> Iterator[Path]:
    """Paths of all keys of a model and its sections, depth first, without numbers of lists."""
    for name, field in model.model_fields.items():
        yield (*path, name)
        section = section_of(field.annotation)
        for inner in (section,) if section else entries_of(field.annotation):
            yield from fields(inner, (*path, name))


def _path(detail: ErrorDetails, data: Any) -> Path:
    """The key that a problem belongs to: without pydantic's names of union members, and a whole
    list for a missing item.
    """
    path: list[str | int] = []
    for part in detail["loc"]:
        if isinstance(data, dict) and part == data.get(KIND_KEY):
            # The name of the alternative that the section is of.
            continue
        if isinstance(data, dict) and (part in data or detail["type"] == "missing"):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        elif isinstance(data, list) and isinstance(part, str):
            # The name of an alternative, within which an item of the list is wrong.
            continue
        else:
            break
        path.append(part)
    if detail["type"] in UNKNOWN_KIND:
        path.append(KIND_KEY)
    about = detail.get("ctx", {}).get("key")
    return (*path, *about.split(".")) if about else tuple(path)


def _text(path: Path, details: list[ErrorDetails], model: type[BaseModel]) -> str:
    first = details[0]
    if first["type"] == "extra_forbidden":
        return _unknown(path, model)
    if first["type"] == "refused":
        return first["msg"]
    if first["type"] in UNKNOWN_KIND:
        return _unknown_kind(first)
    if first["type"] == "missing" and not isinstance(first["input"], list):
        return "is required but missing"
    if first["type"] in ("missing", "too_long"):
        return f"must be a list of {_length(path, model)} values, got {shown(first['input'])}"
    expected = [
        _EXPECTED[d["type"]].format(**d.get("ctx", {})) if d["type"] in _EXPECTED else d["msg"]
        for d in details
    ]
    return (
        f"must be {' or '.join(dict.fromkeys(expected))}, got"
        f" {shown(first['input'])}{_hint(details)}"
    )


def _hint(details: list[ErrorDetails]) -> str:
    """How to mend what YAML readers disagree about."""
    value, kinds = details[0]["input"], {detail["type"] for detail in details}
    if kinds & {"int_type", "float_type"} and isinstance(value, str):
        parts = value.split(":")
        if 2 <= len(parts) <= 3 and all(part.isdecimal() for part in parts):
            seconds = sum(int(part) * 60**power for power, part in enumerate(reversed(parts)))
            return f" (if that is a time, write {seconds} seconds)"
    if kinds == {"string_type"} and isinstance(value, bool | int | float):
        return " (put it in quotes)"
    return ""


def _unknown(path: Path, model: type[BaseModel]) -> str:
    near = _near(path, model)
    if near:
        return f"unknown key, did you mean {near[0]}?"
    elsewhere = [dotted(other) for other in fields(model) if other[-1] == path[-1]]
    if elsewhere:
        return f"unknown key here, did you mean {elsewhere[0]}?"
    return f"unknown key, known here are {', '.join(_names(path, model))}"


def _unknown_kind(detail: ErrorDetails) -> str:
    """What is wrong with the key that says of which kind a section is."""
    if KIND_KEY not in detail["input"]:
        return "is required but missing"
    ctx, given = detail["ctx"], detail["input"][KIND_KEY]
    known = ctx["expected_tags"].replace("'", "").split(", ")
    hint = did_you_mean(given, known) if isinstance(given, str) else ""
    return f"must be one of {', '.join(known)}, got {shown(given)}{hint}"


def _near(path: Path, model: type[BaseModel]) -> list[str]:
    return get_close_matches(shortened(str(path[-1])), _names(path, model), n=1)


def _names(path: Path, model: type[BaseModel]) -> list[str]:
    """Keys of the section that a path lies in."""
    section = tuple(part for part in path[:-1] if isinstance(part, str))
    names = [str(other[-1]) for other in fields(model) if other[:-1] == section]
    return list(dict.fromkeys(names))


def _length(path: Path, model: type[BaseModel]) -> int:
    annotation: Any = model
    for part in path:
        annotation = (section_of(annotation) or model).model_fields[str(part)].annotation
    # The list may be one of several alternatives, such as a list or nothing.
    lists = (one for one in (annotation, *get_args(annotation)) if get_origin(one) is tuple)
    return len(get_args(next(lists)))


def shown(value: Any) -> str:
    """A value as the user wrote it, cut short when it is long."""
    if value is None:
        return "nothing"
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
