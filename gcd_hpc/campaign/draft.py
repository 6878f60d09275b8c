"""A first campaign file, short and commented, for a boundary and a potential."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ase.data import atomic_masses, atomic_names, atomic_numbers, reference_states

from gcd_hpc.campaign.soundness import inspect_campaign
from gcd_hpc.config.boundary import BoundaryConfig
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import parse_campaign
from gcd_hpc.engines.installed import shipped_potentials
from gcd_hpc.engines.library import (
    LibraryPotential,
    check_holds,
    potentials_for,
    read_potential,
)
from gcd_hpc.errors import GcdError, PotentialError, did_you_mean

LATTICES = ("sc", "bcc", "fcc", "diamond", "hcp")
SOURCE = "init"
"""What errors call a campaign that is not written yet."""
MELTING_K = {
    **{"Li": 454, "Na": 371, "K": 337, "C": 3820, "Al": 933, "Si": 1687, "Ca": 1115, "V": 2183},
    **{"Cr": 2180, "Fe": 1811, "Ni": 1728, "Cu": 1358, "Ge": 1211, "Nb": 2750, "Mo": 2896},
    **{"Rh": 2237, "Pd": 1828, "Ag": 1235, "Ta": 3290, "W": 3695, "Ir": 2719, "Pt": 2041},
    **{"Au": 1337, "Pb": 601, "Mg": 923, "Ti": 1941, "Zr": 2128, "Hf": 2506, "Co": 1768},
    **{"Zn": 693, "Be": 1560, "Re": 3459, "Ru": 2607},
}
"""Melting points, K, that the temperatures of molecular dynamics are taken from."""
COOLED_TO = 0.3
"""Share of their temperature to which structures are cooled."""
STEP_PS = 0.0011
"""Time step of an atom of mass 1 u, ps. It grows with the square root of the mass, as the period of
vibration does.
"""


@dataclass(frozen=True)
class Annealing:
    """Molecular dynamics in units of what depends on the element.

    melting: lowest and highest temperature at which it begins, in melting points.
    num_steps: fewest and most steps.
    """

    melting: tuple[float, float]
    num_steps: tuple[int, int]

    @property
    def remark(self) -> str:
        """What the temperatures are, as a comment of a campaign file."""
        lowest, highest = self.melting
        return f" # {lowest:g} to {highest:g} of the melting point"

    def of(self, element: str) -> dict[str, Any]:
        """Keys of ``search.md`` or ``explore.md`` for an element with a known melting point."""
        mass = float(atomic_masses[atomic_numbers[element]])
        limits_k = [share * MELTING_K[element] for share in self.melting]
        return {
            "temperature_k": [round(limit_k / 10) * 10 for limit_k in limits_k],
            "num_steps": list(self.num_steps),
            "timestep_ps": round(STEP_PS * mass**0.5, 3),
            "cooled_to": COOLED_TO,
        }


OF_TRIES = Annealing((0.5, 0.75), (1000, 2000))
"""Annealing of random tries, whose grains still have to find their places."""
OF_MOVES = Annealing((0.6, 0.9), (500, 1000))
"""Annealing of moves, between grains that are held. docs/search.md#annealing has others."""
NUM_TRIES, TRIES_PER_TASK = 10, 5
"""Random tries that exploration begins with. What they leave out, moves and its own tries reach at
less cost (docs/search.md#cost-until-the-target).
"""
ANNEALED_SHARE = 0.3
"""Share of the tries that are annealed."""
LEAST_ANNEAL_SHARE = 0.2
"""Least share of exploration's cost for annealed moves."""


@dataclass(frozen=True)
class Draft:
    """What a campaign file is written from.

    name: keys of the boundary section that name the boundary, such as sigma, axis and plane.
    """

    element: str
    lattice: str
    name: dict[str, Any]
    potential: LibraryPotential

    def text(self, title: str) -> str:
        """The campaign file.

        Args:
            title: name of the campaign.
        """
        known = potentials_for(self.element, self.lattice)
        others = [one.path.name for one in known if one.path != self.potential.path]
        source = f" # {self.potential.citation}" if self.potential.citation else ""
        section = self.potential.config(self.element).model_dump(exclude_defaults=True)
        return f"""\
# Grain boundary of {_element_name(self.element)} ({self.lattice}), written by gcd-hpc init. Next:
#   gcd-hpc check FILE       which boundary this is, its cell, slabs and voxels
#   gcd-hpc campaign FILE    runs the campaign; the same command resumes it
name: {title}
seed: 0

boundary:
{_block({"element": self.element, "lattice": self.lattice, **self.name})}
  replicas: [1, 1] # repeats of the cell along x and y; larger cells have more values of [n]

potential:{source}
{_block(section)}
{_comment("Others that LAMMPS ships:", others)}
search: # random tries, from which everything starts
  num_tries: {NUM_TRIES}
  chunk_size: {TRIES_PER_TASK} # tries of a task, which a worker does in one go
{_dynamics(OF_TRIES, self.element, {"probability": ANNEALED_SHARE})}
explore: # moves on the best structures, after the search and in each round
  generations: 12
  anneal_share: {LEAST_ANNEAL_SHARE} # at least, of its cost
{_dynamics(OF_MOVES, self.element, {})}
sampling:
  num_candidates: 120 # of each model

budget:
  rounds: 2 # each trains a model; 0 does without
"""


def checked(draft: Draft, title: str, folder: Path) -> str:
    """The campaign file of a draft, after the checks of ``gcd-hpc check``.

    Args:
        folder: where the file will lie.

    Raises:
        GcdError: if the campaign could not run.
    """
    text = draft.text(title)
    config: CampaignConfig = parse_campaign(text, SOURCE)
    inspect_campaign(config, folder, SOURCE)
    return text


def title_of(config: BoundaryConfig) -> str:
    """Name of a campaign, such as cu_sigma5_210."""
    rotation = f"sigma{config.sigma}" if config.sigma else f"{config.angle:g}deg"
    plane = config.plane or config.axis or ()
    place = "twist" if config.twist else "".join(map(str, plane))
    return re.sub(r"[^a-z0-9_.-]", "", f"{config.symbols[0]}_{rotation}_{place}".lower())


def lattice_of(element: str, given: str | None) -> str:
    """Crystal structure of an element: as given, or its own.

    Raises:
        GcdError: if the element does not exist, or if its crystal is another and none is given.
    """
    if element not in atomic_numbers or element == "X":
        cure = did_you_mean(element, list(atomic_numbers)[1:])
        raise GcdError(f"--element must be a chemical symbol such as W or Cu, got {element}{cure}")
    if given is not None:
        if given not in LATTICES:
            raise GcdError(
                f"--lattice must be one of {', '.join(LATTICES)}, got"
                f" {given}{did_you_mean(given, LATTICES)}"
            )
        return given
    own = (reference_states[atomic_numbers[element]] or {}).get("symmetry")
    if own not in LATTICES:
        raise GcdError(
            f"--lattice is required, because the crystal of {element} ({own or 'unknown'}) is none"
            f" of {', '.join(LATTICES)}"
        )
    return str(own)


def potential_of(element: str, lattice: str, given: str | None) -> LibraryPotential:
    """The potential of a campaign: a file, one that LAMMPS ships, or the first of those.

    Raises:
        GcdError: if there is none for this element.
    """
    known = potentials_for(element, lattice)
    if given is None:
        if not known:
            raise GcdError(f"--potential is required, because {_none_shipped(element)}")
        return known[0]
    for folder in (Path(), *shipped_potentials()):
        if (folder / given).is_file():
            found = read_potential(folder / given)
            break
    else:
        names = [one.path.name for one in known]
        there = f"those that LAMMPS ships for {element} are {', '.join(names)}"
        raise PotentialError(
            f"--potential: there is no file {given}; {there if names else _none_shipped(element)}"
        )
    try:
        check_holds(found, element)
    except PotentialError as error:
        raise PotentialError(f"--potential: {error}") from error
    return found


def _none_shipped(element: str) -> str:
    if not any(folder.is_dir() for folder in shipped_potentials()):
        return "LAMMPS, which ships potentials, is not installed here; name a file"
    return (
        f"LAMMPS ships none for {element} of a pair style that needs no more than its file; name a"
        " file, or write the potential section yourself"
    )


def _element_name(element: str) -> str:
    return atomic_names[atomic_numbers[element]].lower() or element


def _block(keys: dict[str, Any]) -> str:
    """Lines of YAML, one key a line, indented."""
    lines = []
    for key, value in keys.items():
        plain = list(value) if isinstance(value, tuple) else value
        text = yaml.safe_dump(plain, default_flow_style=True, width=1000).removesuffix("\n...\n")
        lines.append(f"  {key}: {text.strip()}{_REMARKS.get(key, '')}")
    return "\n".join(lines)


_REMARKS = {
    "axis": " # of the rotation",
    "plane": " # of the lower grain",
    "upper_plane": " # family of the upper grain's plane",
    "twist": " # the boundary is normal to the axis",
}


def _comment(title: str, names: list[str]) -> str:
    return f"  # {title} {', '.join(names)}\n" if names else ""


def _dynamics(annealing: Annealing, element: str, more: dict[str, Any]) -> str:
    """Molecular dynamics that suit the element, or a line that asks for the temperatures."""
    if element not in MELTING_K:
        return f"  # md: {{temperature_k: ...}}{annealing.remark}\n"
    keys = yaml.safe_dump(
        more | annealing.of(element), default_flow_style=True, sort_keys=False, width=1000
    )
    return f"  md: {keys.strip()}{annealing.remark}\n"
