"""The pages of the reference that follow from the code: ``python docs/generate.py`` writes them.

They are committed, so that they can be read where the code is read, without a build, and so that a
change of the reference shows in the review of its cause. ``tests/docs/test_pages.py``
fails when they are out of date.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

from typer.testing import CliRunner

import gcd_hpc
from gcd_hpc.cli.application import COMMANDS, GROUPS, app, summary
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.material import MaterialConfig
from gcd_hpc.config.section import Section, entries_of, section_of
from gcd_hpc.config.set import AllBoundaries
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.store.run_candidate import RunCandidate

HERE = Path(__file__).parent
NOTE = "<!-- Made by docs/generate.py; do not edit. -->\n\n"
KINDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "object": "values by name",
}
LIMITS = {
    "exclusiveMinimum": "> {:g}",
    "minimum": "≥ {:g}",
    "exclusiveMaximum": "< {:g}",
    "maximum": "≤ {:g}",
}


def config_page() -> str:
    """Every key of a campaign file and of a site file."""
    intro = f"""# Campaign and site files

Both are YAML. Every key, from the models that read them: `gcd-hpc check FILE` says which key of a
file is wrong, what was expected and what was found; a key that does not exist is refused with the
nearest one that does. `--set KEY=VALUE` changes a key for one command, as in `--set
sampling.num_candidates=200`.

Lengths are in Å, energies in eV or, where the name says so, in J/m^2. `1e-4` is a number,
`12:00:00` is text, only `true` and `false` are truth values, and a key that is written twice is
refused, whatever other readers of YAML make of them.

## The campaign file

{_plain(CampaignConfig.__doc__ or "")} `campaigns/w_sigma5.yaml` is one.
"""
    campaign = "\n".join(_sections(CampaignConfig, ""))
    site = "\n".join(_sections(SiteConfig, ""))
    about = (
        f"## The site file\n\n{_plain(SiteConfig.__doc__ or '')} `campaigns/sites` has one for each"
        " kind of machine."
    )
    several = """## The file of a set of boundaries

A campaign file with the key `boundaries` is one of a set: one campaign of each boundary, with all
other sections in common. `boundaries` lists entries of a `name`, which is that of the member's run
directory, and keys of the section `boundary`. They come before the keys of the section `boundary`
itself, which all members have in common. `--set boundary.KEY=VALUE` comes before both.

```yaml
boundary: {element: Cu, lattice: fcc, axis: [0, 0, 1]}
boundaries:
  - {name: s5_210, sigma: 5, plane: [2, 1, 0], replicas: [2, 1]}
  - {name: s5_twist, sigma: 5, twist: true}
```

An entry with the section `all` in place of a name stands for every boundary about an axis that
`gcd-hpc boundaries` lists: `{all: {axis: [0, 0, 1], kind: symmetric-tilt}, replicas: [2, 1]}`.
"""
    every = "\n".join(["### boundaries.all\n", *_sections(AllBoundaries, "")])
    material = f"""## The campaign file of a material

{_plain(MaterialConfig.__doc__ or "")} The key `material` makes it one.
"""
    keys = "\n".join(_sections(MaterialConfig, ""))
    first = f"{NOTE}{intro}\n{campaign}\n{several}\n{every}"
    return f"{first}\n{material}\n{keys}\n{about}\n\n{site}"


def _sections(model: type[Section], path: str) -> Iterator[str]:
    """A table of the model's own keys, then its sections."""
    schema, meanings = model.model_json_schema(), _meanings(model)
    inner = {
        name: section
        for name, field in model.model_fields.items()
        if (section := section_of(field.annotation))
    }
    lists = {
        name: kinds
        for name, field in model.model_fields.items()
        if (kinds := entries_of(field.annotation))
    }
    plain = {
        name: one for name, one in schema["properties"].items() if name not in {**inner, **lists}
    }
    if plain:
        yield "| key | value | default | meaning |\n|---|---|---|---|"
        for name, one in plain.items():
            default = (
                "required" if model.model_fields[name].is_required() else _value(one.get("default"))
            )
            yield f"| `{name}` | {_kind(one)} | {default} | {meanings[name]} |"
        yield ""
    for section in dict.fromkeys(inner.values()):
        names = [name for name in inner if inner[name] is section]
        yield f"### {', '.join(path + name for name in names)}\n"
        needed = " Required." if model.model_fields[names[0]].is_required() else ""
        about = meanings.get(names[0]) if len(names) == 1 else None
        yield f"{_plain(about or inspect.getdoc(section) or '')}{needed}\n"
        yield from _sections(section, f"{path}{names[0]}." if len(names) == 1 else "")
    for name, kinds in lists.items():
        yield f"### {path}{name}\n\n{meanings[name]} None by default.\n"
        for kind in kinds:
            property_name = get_args(kind.model_fields["property"].annotation)[0]
            yield f"### {path}{name}, property: {property_name}\n"
            yield f"{_plain(inspect.getdoc(kind) or '')}\n"
            yield from _sections(kind, f"{path}{name}.")


def _meanings(model: type[Section]) -> dict[str, str]:
    """What each key means: the text below it in the source.

    pydantic could read these texts too, but then every process would pay for it.
    """
    texts: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if issubclass(one, Section):
            (definition,) = ast.parse(inspect.getsource(one)).body
            assert isinstance(definition, ast.ClassDef)
            for key, text in pairwise(definition.body):
                match key, text:
                    case (
                        ast.AnnAssign(target=ast.Name(id=name)),
                        ast.Expr(value=ast.Constant(value=str(words))),
                    ):
                        texts[name] = _plain(inspect.cleandoc(words)).replace("|", "\\|")
    return texts


def _plain(text: str) -> str:
    """One line, with links to the page on the science where the text names a place there."""
    return _linked(" ".join(text.split()).replace("``", "`"))


def _linked(text: str) -> str:
    """``docs/science.md#b7`` as a link that reads B7."""

    def link(match: re.Match[str]) -> str:
        anchor = match[1]
        return f"[{anchor.upper() if anchor[-1].isdigit() else anchor}](science.md#{anchor})"

    return re.sub(r"docs/science\.md#([a-z]+(?:-[a-z]+)*\d*)", link, text)


def _kind(schema: dict[str, Any]) -> str:
    """What may be written, with its limits."""
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "prefixItems" in schema:
        return f"{len(schema['prefixItems'])} times {_kind(schema['prefixItems'][0])}"
    if "enum" in schema:
        return " or ".join(f"`{one}`" for one in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema["type"] == "array":
        return f"list of {_kind(schema['items'])}"
    limits = [text.format(schema[name]) for name, text in LIMITS.items() if name in schema]
    return " ".join([KINDS[schema["type"]], *limits[:1], *(f"and {limit}" for limit in limits[1:])])


def _value(default: Any) -> str:
    if default is None:
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, list):
        return f"`[{', '.join(str(one) for one in default)}]`"
    return f"`{default}`" if default != "" else "empty"


def commands_page() -> str:
    """Every command with its help."""
    overall = _help()
    options = overall[overall.index("Options:") : overall.index(f"{next(iter(GROUPS))}:")].strip()
    pieces = [
        f"{NOTE}# Commands\n",
        (
            "What `gcd-hpc COMMAND --help` prints. A mistake that can be mended is one sentence on"
            " the standard error and exit code 2; `gcd-hpc --debug COMMAND` adds the traceback.\n"
        ),
        *(
            "| command | what it does |\n|---|---|",
            *(
                f"| [`{name}`](#{name.replace(' ', '-')}) | {summary(one)} |"
                for name, one in COMMANDS.items()
            ),
            "",
        ),
        f"```text\n{options}\n```\n",
    ]
    for name, command in COMMANDS.items():
        text = _help(*name.split())
        usage, rest = (
            text.partition("\n\n")[0],
            re.split(r"^(?=(?:Arguments|Options):$)", text, maxsplit=1, flags=re.MULTILINE)[1],
        )
        paragraphs, examples = re.split(
            r"^(?:\x08\n)?Examples?:\n",
            inspect.getdoc(command) or "",
            maxsplit=1,
            flags=re.MULTILINE,
        )
        about = "\n\n".join(_paragraph(one) for one in paragraphs.strip().split("\n\n"))
        shown = textwrap.dedent(examples).strip()
        pieces.append(
            f"## {name}\n\n{about}\n\n```bash\n{shown}\n```\n\nIn"
            f" full:\n\n```text\n{usage}\n\n{rest.strip()}\n```\n"
        )
    return "\n".join(pieces)


def _help(*words: str) -> str:
    return (
        CliRunner()
        .invoke(app, [*words, "--help"], prog_name="gcd-hpc", env={"COLUMNS": "80"})
        .output
    )


def _paragraph(text: str) -> str:
    """Without the line breaks of a terminal, except where the help keeps them."""
    return (
        f"```text\n{text.removeprefix(chr(8)).strip()}\n```"
        if text.startswith("\b")
        else " ".join(text.split())
    )


FUNCTIONS = (
    "load_campaign",
    "run_campaign",
    "open_run",
    "find_phases",
    "overview",
    "relax",
    "encode",
    "decode",
)
CLASSES = ("Phase", "Overview", "RunSet", "BoundarySystem", "Bicrystal", "Grid", "Sampler")


def python_page() -> str:
    """What the package's root offers, and the members of what ``open_run`` returns."""
    pieces = [
        f"{NOTE}# Python\n",
        (
            "`import gcd_hpc` is instant: numpy, ASE, HDF5 or torch are loaded by the first name"
            " that needs them, torch only by `Sampler` and `encode`. [Use results in"
            " Python](python.md) shows all of it at work.\n"
        ),
        *(_function(f"gcd_hpc.{name}", getattr(gcd_hpc, name), "##") for name in FUNCTIONS),
        *(_class(name, getattr(gcd_hpc, name)) for name in CLASSES),
        f"## Run\n\n{_docstring(gcd_hpc.Run)}\n",
        *(_member("run", name, one) for name, one in _members(gcd_hpc.Run)),
        (
            f"## RunCandidate\n\n{_docstring(RunCandidate)}\n\nAll fields stand in [the"
            " schema](schema.md).\n"
        ),
        *(_member("candidate", name, one) for name, one in _members(RunCandidate)),
    ]
    return "\n".join(pieces)


def _class(name: str, cls: type) -> str:
    """A class and its documented functions."""
    functions = [
        _function(f"{name}.{member}", getattr(cls, member), "###")
        for member, one in vars(cls).items()
        if not member.startswith("_")
        and inspect.getdoc(one)
        and (inspect.isfunction(one) or isinstance(one, classmethod))
    ]
    return "\n".join([f"## gcd_hpc.{name}\n\n{_docstring(cls)}\n", *functions])


SPECIAL = {
    "__len__": "len(run)",
    "__iter__": "for candidate in run",
    "__getitem__": "run[0], run['model-01-000045'], run[:10]",
}


def _members(cls: type) -> list[tuple[str, Any]]:
    return [
        (name, one)
        for name, one in vars(cls).items()
        if name in SPECIAL or (not name.startswith("_") and inspect.getdoc(one))
    ]


def _member(owner: str, name: str, one: Any) -> str:
    if name in SPECIAL:
        return f"### `{SPECIAL[name]}`\n\n{_docstring(one)}\n"
    if callable(one):
        return _function(f"{owner}.{name}", one, "###")
    getter = one.fget if isinstance(one, property) else one.func
    returned = _annotation(inspect.signature(getter).return_annotation)
    return f"### {owner}.{name}\n\n`{owner}.{name}: {returned}`\n\n{_docstring(getter)}\n"


def _function(title: str, function: Callable[..., Any], level: str) -> str:
    signature = inspect.signature(function)
    arguments = [
        str(one.replace(annotation=_Plain(one.annotation)))
        for name, one in signature.parameters.items()
        if name != "self"
    ]
    shown = f"{title}({', '.join(arguments)}) -> {_annotation(signature.return_annotation)}"
    return f"{level} {title}\n\n`{shown}`\n\n{_docstring(function)}\n"


class _Plain:
    """An annotation that inspect prints as people write it."""

    def __init__(self, annotation: Any) -> None:
        self._text = _annotation(annotation)

    def __repr__(self) -> str:
        return self._text


def _annotation(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", text).replace(
        "dict[str, ndarray]", "dict[str, array]"
    )


def _docstring(documented: Any) -> str:
    """Google's sections as lists."""
    lines = (inspect.getdoc(documented) or "").replace("``", "`").splitlines()
    out: list[str] = []
    for line in lines:
        if line in ("Args:", "Raises:", "Returns:"):
            out.append(f"{line}\n".replace("Args", "Arguments"))
        elif match := re.fullmatch(r"    (\w+): (.*)", line):
            out.append(f"- `{match[1]}`: {match[2]}")
        else:
            out.append(line.strip() if line.startswith("    ") else line)
    return _linked("\n".join(out))


PAGES: dict[str, Callable[[], str]] = {
    "reference-config.md": config_page,
    "reference-cli.md": commands_page,
    "reference-python.md": python_page,
}


def main() -> None:
    """Write all pages."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
