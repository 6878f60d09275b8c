from pathlib import Path

import pytest
from pydantic import ValidationError

from gcd_hpc.config.loader import load_site
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.errors import ConfigError

ROOT = Path(__file__).parents[2]
SLURM = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-3]", "SLURM_JOB_NUM_NODES": "3"}


def make(**sections: object) -> SiteConfig:
    return SiteConfig.model_validate(sections)


def test_a_site_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        SiteConfig().cores = 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("driver: login", "scheduler: must be slurm or pbs for driver: login, got 'none'"),
        ("driver: login\nscheduler: slurm", "blocks.walltime: is required for driver: login"),
        (
            "driver: login\nscheduler: slurm\nblocks: {walltime: '1:00:00'}",
            "cores: must be the number of a compute node",
        ),
        (
            "blocks: {walltime: 4h}",
            "blocks.walltime: must be hours:minutes:seconds such as 04:00:00, got '4h'",
        ),
        ("training: {pin: true}", "training.pin: must be false"),
        (
            "training: {gpus_per_node: 2, processes_per_node: 3}",
            "training.processes_per_node: must be at most gpus_per_node, 2,",
        ),
        (
            "sampling: {gpus_per_node: 2, processes_per_node: 3}",
            "sampling.processes_per_node: must be a multiple of gpus_per_node, 2,",
        ),
        (
            "sampling: {launcher: srun}",
            "sampling.launcher: must be auto or mpiexec without scheduler: slurm, got 'srun'",
        ),
        (
            "driver: login\nscheduler: flux",
            "scheduler: must be slurm or pbs for driver: login, got 'flux'",
        ),
        (
            "scheduler: slurm\nsampling: {launcher: flux}",
            "sampling.launcher: must be auto or mpiexec without scheduler: flux, got 'flux'",
        ),
        ("scheduler: pbs\nmpi: pmix", "mpi: must be empty without scheduler: slurm, got 'pmix'"),
        (
            "scheduler: pbs\nblocks: {constraint: gpu}",
            "blocks.constraint: must be empty without scheduler: slurm, got 'gpu'",
        ),
        ("training: {num_nodes: 2}", "training.num_nodes: must be 1 without a scheduler, got 2"),
        (
            "training: {first_node: 1}",
            "training.first_node: must be 0 without an allocation of several nodes",
        ),
        (
            "training: {gpu_per_node: 1}",
            "training.gpu_per_node: unknown key, did you mean gpus_per_node?",
        ),
    ],
)
def test_keys_that_do_not_agree_are_one_sentence(tmp_path, text, expected):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_site(tmp_path / "s.yaml")
    assert str(caught.value).startswith(f"{tmp_path}/s.yaml: {expected}")


def asynchronous(cores: int, **more: object) -> SiteConfig:
    pools = {"training": 1, "sampling": 1, "relaxation": 2}
    return make(
        mode="asynchronous",
        cores=cores,
        **{name: {"processes_per_node": num, **more} for name, num in pools.items()},
    )


def test_no_file_of_the_config_reads_the_environment():
    """A site or campaign means the same wherever it is read; workers/allocation.py adds the job."""
    folder = ROOT / "gcd_hpc" / "config"
    assert not [path for path in folder.glob("*.py") if "os.environ" in path.read_text()]
