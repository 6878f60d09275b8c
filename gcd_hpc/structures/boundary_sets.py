"""Campaign files of sets of boundaries, with what must be computed to read them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gcd_hpc.config.loader import AnyCampaign, load_campaign_or_set
from gcd_hpc.config.material import MaterialConfig
from gcd_hpc.config.set import AllBoundaries, SetConfig
from gcd_hpc.errors import OrientationError


def read_campaign_or_set(path: Path, overrides: Sequence[str] = ()) -> AnyCampaign | SetConfig:
    """The campaign or the set of a file, with ``all`` written out and slab files read.

    The files that the campaign of a material names are read when it is checked or begins.

    Raises:
        ConfigError: as ``load_campaign_or_set`` and ``with_files``; also if ``all`` names nothing.
    """
    config = load_campaign_or_set(path, overrides, expanded)
    if isinstance(config, MaterialConfig):
        return config
    # Late, because most files that are refused are refused before numpy is needed.
    from gcd_hpc.structures.slab_files import with_files

    if not isinstance(config, SetConfig):
        return with_files(config, path.parent, str(path))
    members = {
        name: with_files(member, path.parent, f"{path}: {name}")
        for name, member in config.members().items()
    }
    return SetConfig(config.name, members)


def expanded(common: Mapping[str, Any], wanted: AllBoundaries) -> list[dict[str, Any]]:
    """Names and keys of the boundaries that ``all`` stands for, as ``named_boundaries`` lists them.

    Args:
        common: other keys of the boundary section, of which element and lattice matter.

    Raises:
        OrientationError: if there is none, or lattice is missing.
    """
    from gcd_hpc.structures.catalogue import named_boundaries

    lattice = common.get("lattice")
    if not isinstance(lattice, str) or lattice == "file":
        raise OrientationError("needs boundary.lattice, such as fcc; give it")
    # The element is of no importance to directions.
    listed = named_boundaries("Cu", lattice, wanted.axis, wanted.max_sigma, wanted.max_index)
    kind = None if wanted.kind is None else wanted.kind.replace("-", " ")
    found = [{"name": one.name, **one.keys} for one in listed if kind in (None, one.kind)]
    if not found:
        raise OrientationError(
            f"names no boundary: there is no {kind or 'boundary'} up to Sigma {wanted.max_sigma};"
            " raise max_sigma"
        )
    return found
