"""YAML text to plain Python values, without the surprises of YAML 1.1.

Only ``true`` and ``false`` are booleans, ``1e-4`` is a number, ``12:00:00``, ``010`` and dates are
text, and a key that is written twice, an alias or a tag is refused. Every refusal names the path of
the key.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from gcd_hpc.errors import ConfigError, shortened

Path = tuple[str | int, ...]

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_RESOLVERS = (
    ("tag:yaml.org,2002:null", re.compile(r"(?:~|null|Null|NULL|)\Z"), [*"~nN", ""]),
    ("tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), [*"tTfF"]),
    ("tag:yaml.org,2002:int", re.compile(rf"(?:{_INTEGER.pattern})\Z"), [*"-+0123456789"]),
    (
        "tag:yaml.org,2002:float",
        re.compile(rf"(?:{_FLOAT.pattern}|{_SPECIAL_FLOAT.pattern})\Z"),
        [*"-+.0123456789"],
    ),
)


MAX_BYTES = 2**20
"""Longest text that is read: twenty times that of a set of 500 named boundaries."""
_MAX_DEPTH = 50
_MAX_DIGITS = 400
"""Longest number that is read; the largest float has 309 digits."""


class _Loader(yaml.SafeLoader):
    """Composes nodes with the core resolvers of YAML 1.2, and refuses aliases and deep nesting."""

    # Empty, not those of YAML 1.1, which the base class brings.
    yaml_implicit_resolvers = {}  # noqa: RUF012
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            problem = (
                f"aliases are not supported, got *{shortened(event.anchor or '')}: repeat the value"
            )
            raise _RefusedError(problem, event.start_mark)
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            problem = f"must be nested at most {_MAX_DEPTH} levels deep"
            raise _RefusedError(problem, event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _RefusedError(Exception):
    """YAML that is valid but not supported: the problem and its place."""


class _Dumper(yaml.SafeDumper):
    """Quotes whatever this reader or one of YAML 1.1 would not take for text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_list(self, data: Any) -> yaml.SequenceNode:
        """A list in one line, or one line for each item where the items are mappings."""
        is_tall = any(isinstance(item, dict) for item in data)
        node = self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=not is_tall)
        for item in node.value:
            if isinstance(item, yaml.MappingNode):
                item.flow_style = True
        return node


_Dumper.add_representer(list, _Dumper.represent_list)
for _tag, _pattern, _first in _RESOLVERS:
    _Loader.add_implicit_resolver(_tag, _pattern, _first)
    _Dumper.add_implicit_resolver(_tag, _pattern, _first)


def parse(text: str, source: str) -> Any:
    """The value of one YAML document; None when it is empty.

    Args:
        source: what to call the text in errors, usually the file's name.

    Raises:
        ConfigError: with the line for bad syntax, with the key's path for a repeated key, an alias
            or a tag.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError(
            source, "", f"is too long for a campaign or site file: at most {MAX_BYTES:,} bytes"
        )
    try:
        node = yaml.compose(text, Loader=_Loader)
    except _RefusedError as error:
        problem, mark = error.args
        raise ConfigError(source, _where(mark), problem) from None
    except yaml.MarkedYAMLError as error:
        where = _where(error.problem_mark or error.context_mark)
        raise ConfigError(
            source, where, f"is not valid YAML: {shortened(error.problem or error.context or '')}"
        ) from None
    except yaml.reader.ReaderError as error:
        raise ConfigError(
            source, "", f"is not valid YAML: {error.reason} (character {error.position + 1})"
        ) from None
    return None if node is None else _value(node, (), source)


def write(data: Any) -> str:
    """YAML text of plain values in the order in which they are given."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=120)


def dotted(path: Sequence[str | int]) -> str:
    """``("voxels", "shape", 2)`` as people write it: ``voxels.shape[2]``."""
    return "".join(
        f"[{part}]" if isinstance(part, int) else f".{shortened(part)}" for part in path
    ).removeprefix(".")


def _where(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def _value(node: yaml.Node, path: Path, source: str) -> Any:
    if isinstance(node, yaml.MappingNode) and node.tag.endswith(":map"):
        return dict(_items(node, path, source))
    if isinstance(node, yaml.SequenceNode) and node.tag.endswith(":seq"):
        return [_value(child, (*path, index), source) for index, child in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        match node.tag.removeprefix("tag:yaml.org,2002:"):
            case "null":
                return None
            case "bool":
                return node.value.lower() == "true"
            case "int" | "float":
                if len(node.value) > _MAX_DIGITS:
                    problem = f"must have at most {_MAX_DIGITS} digits, got {len(node.value)}"
                    raise ConfigError(source, dotted(path), problem)
                return _number(node.value)
            case "str":
                return node.value
    raise ConfigError(
        source,
        dotted(path),
        f"tags are not supported, got {shortened(node.tag)}: write the value alone",
    )


def _number(text: str) -> int | float:
    """A whole number also when it is written as 1e4."""
    if _INTEGER.fullmatch(text):
        return int(text)
    number = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return int(number) if "." not in text and number.is_integer() else number


def _items(node: yaml.MappingNode, path: Path, source: str) -> Iterator[tuple[str, Any]]:
    first_line: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigError(
                source, dotted(path), f"a key must be text, got a list or mapping in line {line}"
            )
        key = key_node.value
        if key in first_line:
            raise ConfigError(
                source,
                dotted((*path, key)),
                f"is given twice, in lines {first_line[key]} and {line}: keep one",
            )
        first_line[key] = line
        yield key, _value(value_node, (*path, key), source)
