"""The table of ``gcd-hpc check`` for a set of boundaries."""

from collections.abc import Mapping

from rich.table import Table

from gcd_hpc.campaign.soundness import Soundness
from gcd_hpc.campaign.table import new_table
from gcd_hpc.config.miller import spelled
from gcd_hpc.config.set import SetConfig
from gcd_hpc.structures.character import character_of
from gcd_hpc.structures.periodic import spelled_cell


def set_table(config: SetConfig, found: Mapping[str, Soundness]) -> Table:
    """One line a boundary: Sigma, axis, plane, kind, cell, atoms, N_plane (N) and voxels."""
    table = new_table()
    for name in ("name", "Sigma", "axis", "plane", "kind", "cell (Å)", "atoms", "N", "voxels"):
        is_text = name in ("name", "axis", "plane", "kind")
        table.add_column(name, justify="left" if is_text else "right", overflow="fold")
    for name, member in config.members().items():
        layout = found[name].layout
        bicrystal = layout.bicrystal
        character = character_of(member.boundary, bicrystal)
        plane, _ = character.planes or (bicrystal.lower.normal, None)
        table.add_row(
            name,
            "-" if character.sigma is None else str(character.sigma),
            spelled(character.axis, "<>"),
            spelled(plane, "()"),
            character.kind,
            spelled_cell(bicrystal.cell).removesuffix(" Å"),
            f"{layout.num_atoms:,}",
            str(bicrystal.atoms_per_plane),
            " x ".join(map(str, layout.grid.shape)),
        )
    return table
