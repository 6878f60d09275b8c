"""The campaign and site files that come with the package, and that each of their keys means
something.
"""

import ast
from pathlib import Path

import pytest

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.explain import fields
from gcd_hpc.config.loader import load_campaign, load_campaign_or_set, load_site
from gcd_hpc.config.material import MaterialConfig
from gcd_hpc.config.site import SiteConfig

ROOT = Path(__file__).parents[2]
CAMPAIGNS = sorted((ROOT / "campaigns").glob("*.yaml"))
SITES = sorted((ROOT / "campaigns/sites").glob("*.yaml"))


@pytest.mark.parametrize("path", CAMPAIGNS, ids=lambda path: path.stem)
def test_every_campaign_file_is_valid_and_called_after_its_campaign(path):
    assert load_campaign_or_set(path).name == path.stem


@pytest.mark.parametrize("path", SITES, ids=lambda path: path.stem)
def test_every_site_file_is_valid_and_called_after_its_site(path):
    assert load_site(path).name == path.stem


def test_the_default_and_paper_campaigns_are_about_the_same_boundary():
    default, paper, smoke = (
        load_campaign(ROOT / f"campaigns/{name}.yaml")
        for name in ("w_sigma5", "w_sigma5_paper", "smoke")
    )
    slabs = {"slab_heights": paper.boundary.slab_heights}  # the default campaign's box is lower
    assert default.boundary.model_copy(update=slabs) == paper.boundary == smoke.boundary
    assert default.potential == paper.potential == smoke.potential


def test_the_paper_campaign_has_the_papers_numbers():
    paper = load_campaign(ROOT / "campaigns/w_sigma5_paper.yaml")
    assert paper.voxels.shape == (12, 12, 72)
    assert (paper.voxels.known, paper.voxels.scale) == (18, 0.02)
    assert (paper.network.num_levels, paper.network.num_blocks, paper.network.patch) == (2, 3, 1)
    assert (paper.training.num_steps, paper.training.batch_size, paper.training.weight_decay) == (
        30000,
        4,
        2e-5,
    )
    assert (paper.training.learning_rate, paper.training.min_learning_rate) == (3e-4, 1e-5)
    assert (paper.sampling.solver, 3 * paper.sampling.num_steps) == ("dpm-solver-3", 60)
    assert (paper.selection.min_energy_j_m2, paper.selection.max_energy_j_m2) == (2.6, 2.8)
    assert (paper.decoder.kind, paper.decoder.threshold) == ("learned", 0.05)
    assert (paper.relaxation.preset, paper.relaxation.screen) == ("paper", False)


def test_the_smoke_campaign_has_two_rounds_and_several_chunks_of_each_kind():
    smoke = load_campaign(ROOT / "campaigns/smoke.yaml")
    assert smoke.budget.rounds == 2
    assert smoke.search.num_tries >= 2 * smoke.search.chunk_size
    assert smoke.sampling.num_candidates >= 2 * smoke.sampling.chunk_size
    assert smoke.training.num_steps >= 2 * smoke.training.checkpoint_every


def attributes_read_outside_config() -> set[str]:
    names = set()
    for path in (ROOT / "gcd_hpc").rglob("*.py"):
        if "config" not in path.relative_to(ROOT / "gcd_hpc").parts:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            names |= {
                node.attr
                for node in ast.walk(tree)
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
            }
    return names


@pytest.mark.parametrize("model", [CampaignConfig, MaterialConfig, SiteConfig])
def test_every_option_is_read_by_code(model):
    read = attributes_read_outside_config()
    assert [".".join(map(str, path)) for path in fields(model) if path[-1] not in read] == []
