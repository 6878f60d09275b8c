"""Files and ``--set`` options to frozen configs; every mistake is one line that names its key."""

import json
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.explain import explain
from gcd_hpc.config.learning import LearningConfig, VoxelConfig
from gcd_hpc.config.material import MATERIAL, MaterialConfig
from gcd_hpc.config.reader import MAX_BYTES, dotted, parse, write
from gcd_hpc.config.set import (
    ALL,
    BOUNDARIES,
    MAX_MEMBERS,
    AllBoundaries,
    Entry,
    Expand,
    SetConfig,
    SetHead,
    plain_entries,
)
from gcd_hpc.config.shipped import found, shipped_folder
from gcd_hpc.config.site import BUILT_IN, SiteConfig
from gcd_hpc.errors import ConfigError, OrientationError, shortened

Model = TypeVar("Model", bound=BaseModel)
AnyCampaign = CampaignConfig | MaterialConfig
"""One campaign of either kind."""
KeyPath = tuple[str | int, ...]
COMMAND_LINE = "--set"
CAMPAIGN_FOLDER, SITE_FOLDER = "campaigns", "campaigns/sites"
AUTO_SECTION = ("voxels", "auto")
ENGINE_SECTIONS = ("engine", "potential", "calculator", "relaxation")
"""Keys of a file that names another engine."""
MAX_PROBLEMS = 20
"""Problems of one file that are listed."""


def load_campaign(path: str | Path, overrides: Sequence[str] = ()) -> CampaignConfig:
    """The campaign of a file, with ``--set`` options such as ``seed=1`` or
    ``sampling.num_candidates=20`` applied in order. A campaign that comes with the package is found
    by its name, such as ``smoke.yaml``.

    Raises:
        ConfigError: if the file cannot be read or a key is unknown, missing, given twice or out of
            range.
    """
    path = found(Path(path), CAMPAIGN_FOLDER)
    data = _read(path, CampaignConfig)
    changed = [_override(data, text) for text in overrides]
    _refuse_others(data, str(path))
    return _validate(CampaignConfig, data, str(path), changed)


def load_material(path: str | Path, overrides: Sequence[str] = ()) -> MaterialConfig:
    """The campaign of a material of a file; arguments and errors as ``load_campaign``."""
    path = found(Path(path), CAMPAIGN_FOLDER)
    data = _read(path, MaterialConfig)
    changed = [_override(data, text) for text in overrides]
    return _validate(MaterialConfig, data, str(path), changed)


def load_any_campaign(path: str | Path) -> AnyCampaign:
    """The campaign of a boundary or of a material; errors as ``load_campaign``."""
    path = found(Path(path), CAMPAIGN_FOLDER)
    return _campaign_of(_read(path, CampaignConfig), str(path))


def load_campaign_or_set(
    path: str | Path, overrides: Sequence[str] = (), expand: Expand | None = None
) -> AnyCampaign | SetConfig:
    """The campaign of a file, that of a material if it has the key ``material``, or the set of
    campaigns of one with the key ``boundaries``.

    Args:
        overrides: as for ``load_campaign``. A key of the section ``boundary`` holds for every
            boundary of a set, also where an entry has that key.
        expand: lists the boundaries that ``all`` stands for; without it ``all`` is refused, as in
            the copy of the file that a run directory holds, which never has it.

    Raises:
        ConfigError: as ``load_campaign``; also if two boundaries of a set have the same name.
    """
    path = found(Path(path), CAMPAIGN_FOLDER)
    data = _read(path, CampaignConfig)
    changed = [_override(data, text) for text in overrides]
    if BOUNDARIES in data and MATERIAL not in data:
        return _set_of(data, str(path), changed, expand)
    return _campaign_of(data, str(path), changed)


def load_learning(path: Path | None, overrides: Sequence[str] = ()) -> LearningConfig:
    """How a model of many boundaries learns, by the sections of a campaign file.

    The shape of the voxels is left to the rule that holds for all boundaries.

    Args:
        path: campaign file, also that of a set; without it every section has its defaults.
        overrides: as for ``load_campaign``.

    Raises:
        ConfigError: as ``load_campaign``.
    """
    source, data = COMMAND_LINE, dict[str, Any]()
    if path is not None:
        file = found(path, CAMPAIGN_FOLDER)
        given = _read(file, CampaignConfig)
        source = str(file)
        data = {key: given[key] for key in LearningConfig.model_fields if key in given}
    changed = [_override(data, text) for text in overrides]
    learning = _validate(LearningConfig, data, source, changed)
    voxels = VoxelConfig(scale=learning.voxels.scale)
    return learning.model_copy(update={"voxels": voxels})


def dump_set(config: SetConfig) -> str:
    """YAML text that ``load_campaign_or_set`` reads as an equal set."""
    return write(config.plain())


def parse_any_campaign(text: str, source: str) -> AnyCampaign:
    """The campaign of a text that ``dump`` made, of a boundary or of a material; errors as
    ``load_campaign``.
    """
    return _campaign_of(_mapping(text, source, CampaignConfig), source)


def parse_material(text: str, source: str) -> MaterialConfig:
    """The campaign of a material of a text that ``dump`` made; as ``parse_campaign``."""
    return _validate(MaterialConfig, _mapping(text, source, MaterialConfig), source)


def parse_campaign(text: str, source: str) -> CampaignConfig:
    """The campaign of a text that ``dump`` made.

    Args:
        source: what errors call it.

    Raises:
        ConfigError: as ``load_campaign``.
    """
    return _validate(CampaignConfig, _mapping(text, source, CampaignConfig), source)


def refuse_material(source: str) -> NoReturn:
    """Refuse the campaign of a material, or its results, where only boundaries are known."""
    raise ConfigError(
        source,
        MATERIAL,
        "makes this the campaign of a material, and here that of a grain boundary is needed; name"
        " one with the key boundary",
    )


def _campaign_of(data: dict[str, Any], source: str, changed: Sequence[KeyPath] = ()) -> AnyCampaign:
    if MATERIAL in data:
        return _validate(MaterialConfig, data, source, changed)
    _refuse_others(data, source)
    return _validate(CampaignConfig, data, source, changed)


def _refuse_others(data: Mapping[str, Any], source: str) -> None:
    if MATERIAL in data:
        refuse_material(source)
    if BOUNDARIES in data:
        raise ConfigError(
            source,
            BOUNDARIES,
            "makes this the file of a set, and here one campaign is needed; name a file with one"
            " boundary, or a member's run directory",
        )


def _set_of(
    data: dict[str, Any], source: str, changed: Sequence[KeyPath], expand: Expand | None
) -> SetConfig:
    shared = {key: value for key, value in data.items() if key != BOUNDARIES}
    common = shared.get("boundary", {})
    if not isinstance(common, dict):
        raise ConfigError(source, "boundary", "must be a section of keys")
    head = {key: value for key, value in shared.items() if key == "name"}
    name = _validate(SetHead, head, source, changed).name
    # An option is stronger than the file, and so than the keys of each entry.
    fixed = {str(option[1]) for option in changed if option[0] == "boundary" and len(option) > 1}
    entries: list[Entry] = []
    for one in plain_entries(data[BOUNDARIES], source):
        entry = one.without(fixed)
        entries += _expanded(entry, common, source, expand) if ALL in entry.keys else [entry]
    if len(entries) > MAX_MEMBERS:
        problem = f"are {len(entries)}, and a set has at most {MAX_MEMBERS}; make several sets"
        raise ConfigError(source, BOUNDARIES, problem)
    places: dict[str, KeyPath] = {}
    campaigns: dict[str, CampaignConfig] = {}
    for entry in entries:
        where = partial(entry.path_of, common)
        member = _validate(CampaignConfig, entry.member(shared), source, changed, where)
        if member.name in places:
            other = dotted(places[member.name])
            problem = f"is {member.name}, which {other} is called too; give each its own name"
            raise ConfigError(source, dotted((*entry.place, "name")), problem)
        places[member.name] = entry.place
        campaigns[member.name] = member
    return SetConfig(name, campaigns)


def _expanded(
    entry: Entry, common: Mapping[str, Any], source: str, expand: Expand | None
) -> list[Entry]:
    """The entries that ``all`` in an entry stands for; each keeps the entry's other keys."""
    place = (*entry.place, ALL)
    if expand is None:
        problem = "must be written out here; gcd-hpc campaign does so in the copy that it makes"
        raise ConfigError(source, dotted(place), problem)
    if "name" in entry.keys:
        problem = (
            f"cannot name the boundaries of {ALL}, which get names such as s5_210; leave it out"
        )
        raise ConfigError(source, dotted((*entry.place, "name")), problem)
    given = entry.keys[ALL]
    if not isinstance(given, dict):
        raise ConfigError(source, dotted(place), "must be keys such as axis and max_sigma")
    wanted = _validate(AllBoundaries, given, source, (), lambda path: (*place, *path))
    others = {key: value for key, value in entry.keys.items() if key != ALL}
    try:
        found = expand({**common, **others}, wanted)
    except OrientationError as error:
        raise ConfigError(source, dotted(place), str(error)) from None
    return [Entry(entry.place, {**others, **keys}) for keys in found]


def with_engine(config: CampaignConfig, engine: str) -> tuple[CampaignConfig, Path]:
    """A campaign computed by another engine, and the folder in which its files are looked for.

    What follows from the engine is left open: lattice constants, voxels and slabs.

    Args:
        engine: name or Python path of an ASE calculator, or a YAML file with the keys engine,
            potential or calculator, and relaxation if it differs.

    Raises:
        ConfigError: if the file cannot be read, or a key is unknown or wrong.
    """
    data = config.model_dump(mode="json", exclude_unset=True)
    for key in ("engine", "potential", "calculator", "voxels"):
        data.pop(key, None)
    for key in ("a0", "c0", "slab_heights"):
        data["boundary"].pop(key, None)
    path = Path(engine)
    if path.suffix not in (".yaml", ".yml"):
        given: dict[str, Any] = {"engine": "ase", "calculator": engine}
        return _validate(CampaignConfig, data | given, f"--engine {engine}"), Path()
    given = _read(path, CampaignConfig)
    for key in given.keys() - set(ENGINE_SECTIONS):
        raise ConfigError(str(path), key, f"must be one of {', '.join(ENGINE_SECTIONS)}")
    return _validate(CampaignConfig, data | given, str(path)), path.parent


def load_site(path: str | Path) -> SiteConfig:
    """The site of a file, or of a name such as ``slurm_login`` among campaigns/sites.

    Raises:
        ConfigError: as ``load_campaign``.
    """
    path = Path(path)
    if _is_name(path):
        here = Path(SITE_FOLDER) / f"{path}.yaml"
        file = here if os.path.isfile(here) else shipped_folder() / here
        if not os.path.isfile(file) and path.name in BUILT_IN:
            return BUILT_IN[path.name]
        if not os.path.isfile(file):
            raise ConfigError(
                str(path),
                "",
                f"there is no such site; name a file or one of {', '.join(_site_names())}",
            )
        path = file
    path = found(path, SITE_FOLDER)
    return _validate(SiteConfig, _read(path, SiteConfig), str(path))


def _is_name(path: Path) -> bool:
    return path.name == str(path) and not path.suffix and not os.path.exists(path)


def _site_names() -> list[str]:
    files = (Path(SITE_FOLDER), shipped_folder() / SITE_FOLDER)
    return sorted({*BUILT_IN, *(file.stem for folder in files for file in folder.glob("*.yaml"))})


def dump(config: BaseModel) -> str:
    """YAML text with every key, defaults included, that loads as an equal config."""
    return write(config.model_dump(mode="json"))


def _read(path: Path, model: type[BaseModel]) -> dict[str, Any]:
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise ConfigError(str(path), "", "is a folder; name a YAML file")
        if not stat.S_ISREG(kind):
            # Reading a pipe could wait for ever, and reading a device never ends.
            raise ConfigError(str(path), "", "is a pipe or a device; name a YAML file")
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(str(path), "", "there is no such file") from None
    except UnicodeDecodeError:
        problem = "is not text in UTF-8; save the YAML file in this encoding"
        raise ConfigError(str(path), "", problem) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(str(path), "", f"cannot be read: {reason.lower()}") from None
    return _mapping(text, str(path), model)


def _mapping(text: str, source: str, model: type[BaseModel]) -> dict[str, Any]:
    data = parse(text, source)
    if not isinstance(data, dict):
        got = "nothing" if data is None else f"a {type(data).__name__}"
        known = ", ".join(list(model.model_fields)[:3])
        raise ConfigError(source, "", f"must hold keys such as {known}, got {got}")
    return data


def _override(data: dict[str, Any], text: str) -> tuple[str, ...]:
    """Write one ``key=value`` into the data; returns the key's path."""
    key, equals, value = text.partition("=")
    path = tuple(part.strip() for part in key.split("."))
    if not equals or not all(path):
        raise ConfigError(
            COMMAND_LINE, "", f"must look like section.key=value, got {shortened(repr(text))}"
        )
    section = data
    for depth, part in enumerate(path[:-1], start=1):
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise ConfigError(
                COMMAND_LINE, ".".join(path), f"{'.'.join(path[:depth])} is a value, not a section"
            )
    section[path[-1]] = parse(value, f"{COMMAND_LINE} {shortened(text)}")
    return path


def _validate(
    model: type[Model],
    data: dict[str, Any],
    source: str,
    changed: Sequence[KeyPath] = (),
    place_of: Callable[[KeyPath], KeyPath] = lambda path: path,
) -> Model:
    """A valid config of plain values.

    Args:
        changed: paths of the keys that ``--set`` options gave.
        place_of: path in the file of a key of the config.

    Raises:
        ConfigError: with all problems, the first one's key by name.
    """
    # voxels: auto is short for a section without keys, calculator: emt for one with a name.
    data = {key: {} if (key, one) == AUTO_SECTION else one for key, one in data.items()}
    if isinstance(data.get("calculator"), str):
        data["calculator"] = {"name": data["calculator"]}
    # Strict JSON mode takes lists for tuples and 3 for 3.0, but neither "3" for 3 nor "no" for
    # false.
    try:
        return model.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        problems = explain(error, model, data)
    errors = []
    for key, text in problems:
        path = place_of(key)
        by_option = any(
            path[: len(option)] == option or option[: len(path)] == path for option in changed
        )
        errors.append(ConfigError(COMMAND_LINE if by_option else source, dotted(path), text))
    first, *others = errors
    more = len(others) - MAX_PROBLEMS
    lines = [first.problem, *map(str, others[:MAX_PROBLEMS])]
    lines += [f"{source}: and {more} more problems"] if more > 0 else []
    raise ConfigError(first.source, first.key, "\n".join(lines)) from None
