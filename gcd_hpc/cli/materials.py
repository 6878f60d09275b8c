"""What the commands of a campaign print of a material."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gcd_hpc.cli.output import console, say

if TYPE_CHECKING:
    from gcd_hpc.config.material import MaterialConfig


def say_material(config: "MaterialConfig", file: Path) -> Sequence[str]:
    """Print what the campaign file of a material describes; return what was not checked."""
    from gcd_hpc.campaign.material_soundness import inspect_material

    found = inspect_material(config, file.parent, str(file))
    say(
        f"{file}: sound: {config.material.element}, {config.budget.rounds} rounds of"
        f" {config.sampling.num} samples"
    )
    for line in found.lines():
        say(f"  {line}")
    return found.unchecked


def show_material_plan(
    config: "MaterialConfig",
    run_dir: Path,
    file: Path,
    site_file: Path | None,
    until: str | None,
    num_nodes: int | None,
) -> None:
    """Print tasks, expected cost and launch lines of the campaign of a material."""
    from gcd_hpc.browse.plan import MATERIAL_WORK, plan_table
    from gcd_hpc.campaign.material_estimate import material_estimate
    from gcd_hpc.campaign.material_soundness import inspect_material
    from gcd_hpc.stages.plan import Plan
    from gcd_hpc.workers.allocation import site_here
    from gcd_hpc.workers.fitting import NUM_NETWORKS, in_turns, launch_lines, plan_site

    inspect_material(config, file.parent, str(file))
    site = plan_site(in_turns(site_here(site_file)), NUM_NETWORKS, num_nodes)
    stages = material_estimate(config, Plan.of(config, site, until))
    console().print(plan_table(stages, site, MATERIAL_WORK))
    lines = launch_lines(site, run_dir)
    for stage in stages:
        say(f"{stage.stage}: {lines[stage.stage]}")  # unbroken, to be copied
