"""A campaign file of several boundaries: one campaign of each, with all else in common.

``boundaries`` lists them. An entry holds a name and keys of the section ``boundary``, which come
before those that all boundaries have in common. ``all`` in an entry stands for the coincidence
boundaries about an axis, as ``gcd-hpc boundaries`` lists them.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from gcd_hpc.config.boundary import Direction, check_direction
from gcd_hpc.config.campaign import BudgetConfig, CampaignConfig, Name
from gcd_hpc.config.reader import dotted
from gcd_hpc.config.section import Section
from gcd_hpc.errors import ConfigError

BOUNDARIES = "boundaries"
"""Key whose presence makes a campaign file one of a set."""
ALL = "all"
MAX_MEMBERS = 500
"""Largest set: its driver keeps a file open for each member, of which a process may have 1024."""
Kind = Literal["twist", "symmetric-tilt", "asymmetric-tilt"]


class SetHead(Section):
    """What a set has beside its boundaries and the sections of a campaign."""

    name: Name
    """Name of the set, for which the same holds as for that of a campaign."""


class AllBoundaries(Section):
    """The coincidence boundaries about one axis, in place of a name."""

    axis: Direction
    """Crystal direction of the rotation axis."""
    max_sigma: Annotated[int, Field(ge=3, le=199)] = 29
    """Largest Sigma."""
    kind: Kind | None = None
    """Kind of boundary. All three are taken when it is not given."""
    max_index: Annotated[int, Field(ge=0, le=9)] = 1
    """Largest index of the lower plane of asymmetric tilts. 0 leaves them out."""

    @field_validator("axis")
    @classmethod
    def _a_direction(cls, indices: Direction) -> Direction:
        return check_direction(indices)


Expand = Callable[[Mapping[str, Any], AllBoundaries], list[dict[str, Any]]]
"""Names and keys of the boundaries that ``all`` stands for, from the other boundary keys."""


@dataclass(frozen=True)
class SetConfig:
    """A set of boundaries. ``config.loader`` reads one from a file."""

    name: str
    campaigns: dict[str, CampaignConfig]
    """At least one, in the order of the file."""

    def members(self) -> dict[str, CampaignConfig]:
        """Campaign of each boundary by its name: the same as if it stood alone in a file.

        Their boundaries differ, and their names, which are those of the boundaries. All other
        sections are the same, the seed included.
        """
        return dict(self.campaigns)

    @property
    def first(self) -> CampaignConfig:
        """First member, whose sections other than ``boundary`` are those of all."""
        return next(iter(self.campaigns.values()))

    @property
    def budget(self) -> BudgetConfig:
        """Limits of the set. Rounds and target hold for each member, the wall time for all."""
        return self.first.budget

    def plain(self) -> dict[str, Any]:
        """Plain values of a file that loads as an equal set and does not hold ``all``."""
        values = self.first.model_dump(mode="json", exclude={"name", "boundary"})
        entries = [
            {"name": name, **one.boundary.model_dump(mode="json", exclude_defaults=True)}
            for name, one in self.campaigns.items()
        ]
        return {"name": self.name, **values, BOUNDARIES: entries}


@dataclass(frozen=True)
class Entry:
    """One boundary as a file lists it."""

    place: tuple[str | int, ...]
    """Path of the entry in the file, such as ``boundaries[3]``."""
    keys: dict[str, Any]
    """Name and keys of the section ``boundary``."""

    def without(self, keys: Collection[str]) -> "Entry":
        """This entry without some of its keys."""
        return Entry(self.place, {key: self.keys[key] for key in self.keys if key not in keys})

    def member(self, shared: Mapping[str, Any]) -> dict[str, Any]:
        """Plain values of the member's campaign.

        Args:
            shared: all other keys of the file; its section ``boundary`` has the common keys.
        """
        own = {key: value for key, value in self.keys.items() if key != "name"}
        named = {key: value for key, value in self.keys.items() if key == "name"}
        others = {key: value for key, value in shared.items() if key != "name"}
        return {**named, **others, "boundary": {**shared.get("boundary", {}), **own}}

    def path_of(
        self, common: Mapping[str, Any], path: tuple[str | int, ...]
    ) -> tuple[str | int, ...]:
        """Path in the file of a key of the member's campaign.

        Args:
            common: the boundary keys that all members have in common.
        """
        if path[:1] == ("name",):
            return (*self.place, "name")
        is_common = len(path) > 1 and path[1] in common and path[1] not in self.keys
        if path[:1] == ("boundary",) and not is_common:
            return (*self.place, *path[1:])
        return path


def plain_entries(given: Any, source: str) -> list[Entry]:
    """Entries as the file gives them; a mapping stands for a list of one.

    Raises:
        ConfigError: if there is none, or one is not a mapping.
    """
    if isinstance(given, dict):
        return [Entry((BOUNDARIES,), given)]
    if not isinstance(given, list) or not given:
        raise ConfigError(source, BOUNDARIES, "must be a list of at least one boundary")
    entries = [Entry((BOUNDARIES, number), keys) for number, keys in enumerate(given)]
    for one in entries:
        if not isinstance(one.keys, dict):
            problem = "must be keys that name a boundary, such as {name: s5_210, sigma: 5, ...}"
            raise ConfigError(source, dotted(one.place), problem)
    return entries
