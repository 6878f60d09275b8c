"""A campaign with toy stages that runs in seconds."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from gcd_hpc.campaign.driver import run_campaign
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.material import MaterialConfig
from gcd_hpc.config.site import PoolConfig, SiteConfig
from gcd_hpc.stages.table import STAGES, stages_of
from gcd_hpc.workers import parsl_pools
from gcd_hpc.workers.allocation import resolve
from tests.sharing import made_once

ROOT = Path(__file__).parents[2]
TOY = "tests.campaign.toy"


def toy_prepare(run_dir: Path, config: CampaignConfig, folder: Path) -> str:
    return "potential"


TOY_MODULES = (
    dict.fromkeys(STAGES, TOY)
    | dict.fromkeys(stages_of("material"), f"{TOY}_material")
    | {"train": f"{TOY}_train", "sample": f"{TOY}_sample"}
)
TOYS: dict[str, Any] = {"prepare": toy_prepare, "modules": TOY_MODULES}
"""Options of ``run_campaign``."""


def make_config(**changes: object) -> CampaignConfig:
    """Three search chunks, two sample chunks, one round unless changed."""
    triad = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1)}
    data = {
        "name": "toy",
        "boundary": {"element": "W", "lattice": "bcc", "lower": triad, "upper": triad},
        "potential": {"pair_style": "zero 4.0", "pair_coeff": "* *"},
        "voxels": {"shape": (12, 12, 72)},
        "search": {"num_tries": 6, "chunk_size": 2},
        "sampling": {"num_candidates": 4, "chunk_size": 2},
        "budget": {"rounds": 1},
    }
    return CampaignConfig.model_validate({**data, **changes})


def make_material(**changes: object) -> MaterialConfig:
    """Four quenches, two chunks of samples, two rounds unless changed."""
    data = {
        "name": "toy",
        "material": {"element": "C", "density_g_cm3": 2.5},
        "potential": {"pair_style": "zero 4.0", "pair_coeff": "* *"},
        "target": {"file": "target.csv"},
        "quench": {"densities_g_cm3": (2.0, 3.0), "num_per_density": 2},
        "sampling": {"num_guided": 2, "num_unguided": 2, "chunk_size": 2},
        "guidance": ({"property": "spectrum"},),
        "budget": {"rounds": 2},
    }
    return MaterialConfig.model_validate({**data, **changes})


@pytest.fixture
def config() -> CampaignConfig:
    return make_config()


@pytest.fixture
def site() -> SiteConfig:
    return resolve(SiteConfig(cores=2))


@pytest.fixture
def separate_pools() -> SiteConfig:
    """One machine whose pools do not share cores, or are told so."""
    one = PoolConfig(processes_per_node=1)
    relaxation = PoolConfig(processes_per_node=2)
    return SiteConfig(
        mode="asynchronous", cores=4, drain_s=5.0, training=one, sampling=one, relaxation=relaxation
    )


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Toy stages, which workers can import, as options of ``run_campaign``; a lost worker is
    noticed within a second.
    """
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(parsl_pools, "HEARTBEAT_S", 1)
    return TOYS


@pytest.fixture
def searched(tmp_path, tmp_path_factory, stages) -> Path:
    """RUN = tmp_path / "run" after the search of the toy campaign on a site without an MPI
    launcher: a copy of one that is made once in a session.
    """

    def search(folder: Path) -> None:
        site = SiteConfig(cores=2, mpiexec="no-such-mpi")
        run_campaign(make_config(), site, folder / "run", folder, until="search", **stages)

    made = made_once(tmp_path_factory, "toy", search)
    return Path(shutil.copytree(made / "run", tmp_path / "run"))


@pytest.fixture
def complete(tmp_path_factory, stages) -> Path:
    """The complete toy campaign, made once in a session. Do not write to it: copy it."""

    def carry_out(folder: Path) -> None:
        run_campaign(make_config(), resolve(SiteConfig(cores=2)), folder / "run", folder, **stages)

    return made_once(tmp_path_factory, "toy-complete", carry_out) / "run"
