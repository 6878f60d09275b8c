import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from parsl.executors import ThreadPoolExecutor

from gcd_hpc.config.site import SiteConfig
from gcd_hpc.workers.allocation import resolve
from gcd_hpc.workers.parsl_pools import (
    HEAD,
    INTERCHANGE_LAUNCH_CMD,
    SAMPLING,
    WORKERS,
    logging_to,
    parsl_config,
)
from gcd_hpc.workers.reaper import TOKEN_NAME
from tests.processes import is_alive


def test_the_pools_need_no_activated_environment(tmp_path, site):
    for pool in parsl_config(site, tmp_path, has_launches=False).executors:
        assert pool.launch_cmd.startswith(f"{sys.executable} -m gcd_hpc.workers.")
        assert pool.interchange_launch_cmd[0] == sys.executable


def test_chunks_have_worker_processes_and_launch_lines_one_thread_of_the_driver(tmp_path, site):
    pools = {pool.label: pool for pool in parsl_config(site, tmp_path).executors}
    assert (pools[WORKERS].max_workers_per_node, pools[WORKERS].address) == (2, "127.0.0.1")
    assert isinstance(pools[HEAD], ThreadPoolExecutor)
    assert pools[HEAD].max_threads == 1


def test_where_nothing_is_launched_there_is_no_head(tmp_path, site):
    (pool,) = parsl_config(site, tmp_path, has_launches=False).executors
    assert pool.label == WORKERS


def labels(site: SiteConfig, run_dir: Path) -> dict:
    return {pool.label: pool for pool in parsl_config(resolve(site), run_dir).executors}


def test_sampling_has_workers_of_its_own_where_it_overlaps_with_relaxation(tmp_path):
    pools = {"training": 1, "sampling": 1, "relaxation": 2}
    sections = {name: {"processes_per_node": number} for name, number in pools.items()}
    found = labels(
        SiteConfig.model_validate({"mode": "asynchronous", "cores": 4, **sections}), tmp_path
    )
    assert found.pop(HEAD).max_threads == 1
    assert {label: pool.max_workers_per_node for label, pool in found.items()} == {
        WORKERS: 2,
        SAMPLING: 1,
    }


def test_gpus_are_shared_evenly_by_workers_and_hidden_from_the_others(tmp_path):
    sampling = {"gpus_per_node": 2, "processes_per_node": 4, "environment": ["module load cuda"]}
    others = {name: {"processes_per_node": 2} for name in ("training", "relaxation")}
    site = SiteConfig.model_validate(
        {"mode": "asynchronous", "cores": 16, "sampling": sampling, **others}
    )
    found = labels(site, tmp_path)
    assert found[SAMPLING].available_accelerators == ["0", "1", "0", "1"]
    assert found[SAMPLING].provider.worker_init.splitlines()[-1] == "module load cuda"
    assert "CUDA_VISIBLE_DEVICES" not in found[SAMPLING].provider.worker_init
    assert "export CUDA_VISIBLE_DEVICES=''" in found[WORKERS].provider.worker_init
    assert "export HIP_VISIBLE_DEVICES=-1" in found[WORKERS].provider.worker_init


GPUS_OF_A_WORKER = """
import os, sys, torch
torch.version.hip = "6.4"
os.environ |= {"CUDA_VISIBLE_DEVICES": "1", "ROCR_VISIBLE_DEVICES": "1"}  # as Parsl does
visible = torch.cuda._parse_visible_devices()
assert visible == [0], visible
"""


def test_every_worker_of_an_amd_node_finds_its_gpu(tmp_path):
    # AMD's runtime applies ROCR_VISIBLE_DEVICES first and counts what remains from 0. torch here
    # is built without it, and its reading of the variables is what is tested.
    site = SiteConfig.model_validate(
        {"cores": 4, "sampling": {"gpus_per_node": 2}, "relaxation": {"processes_per_node": 2}}
    )
    init = labels(site, tmp_path)[SAMPLING].provider.worker_init
    line = ["bash", "-c", f'{init}\nexec {sys.executable} -c "$0"', GPUS_OF_A_WORKER]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_pools_of_several_nodes_do_not_all_start_on_the_first(tmp_path, monkeypatch):
    (tmp_path / "nodes").write_text("n1\nn2\n")
    monkeypatch.setenv("PBS_NODEFILE", str(tmp_path / "nodes"))
    site = SiteConfig(scheduler="pbs", cores=2, interface="lo")
    provider = labels(site, tmp_path)[WORKERS].provider
    assert "mpiexec -n 2 -ppn 1 -hosts n1,n2" in provider.launcher.prepend
    assert "HYDRA_LAUNCHER=" not in provider.worker_init


def test_account_constraint_queue_and_quality_of_service_stand_in_every_job(tmp_path):
    blocks = {
        "walltime": "1:00:00",
        "account": "m1234_g",
        "constraint": "gpu",
        "queue": "batch",
        "qos": "regular",
    }
    site = SiteConfig.model_validate(
        {"scheduler": "slurm", "driver": "login", "cores": 64, "interface": "lo", "blocks": blocks}
    )
    for pool in parsl_config(resolve(site), tmp_path).executors:
        lines = pool.provider.scheduler_options.splitlines()
        assert {
            "#SBATCH --account=m1234_g",
            "#SBATCH --constraint=gpu",
            "#SBATCH --partition=batch",
            "#SBATCH --qos=regular",
        } <= set(lines)


def test_the_canary_of_a_promotion_has_a_gpu_where_stages_take_turns(tmp_path):
    found = labels(
        SiteConfig.model_validate({"cores": 4, "sampling": {"gpus_per_node": 2}}), tmp_path
    )
    assert (found[SAMPLING].max_workers_per_node, found[SAMPLING].available_accelerators) == (
        1,
        ["0"],
    )


def test_workers_are_pinned_and_contained_where_the_site_says_so(tmp_path):
    relaxation = {"pin": True, "container": "apptainer exec image.sif"}
    found = labels(SiteConfig.model_validate({"cores": 2, "relaxation": relaxation}), tmp_path)
    assert found[WORKERS].launch_cmd.startswith(
        "apptainer exec image.sif python3 -m gcd_hpc.workers."
    )
    assert found[WORKERS].cpu_affinity == "block"


def test_launch_lines_of_a_driver_on_a_login_node_start_in_a_job_outside_its_container(
    tmp_path,
):
    pool = {"num_nodes": 2, "container": "apptainer exec image.sif"}
    site = SiteConfig.model_validate(
        {
            **{"scheduler": "slurm", "driver": "login", "interface": "lo", "cores": 2},
            **{"blocks": {"walltime": "1:00:00"}, "training": pool, "sampling": pool},
        }
    )
    head = labels(site, tmp_path)[HEAD]
    assert (head.max_workers_per_node, head.cores_per_worker) == (1, 1e-6)
    assert (head.available_accelerators, head.cpu_affinity) == ([], "none")
    assert head.launch_cmd.startswith(sys.executable)
    assert head.provider.nodes_per_block == 2


def test_files_of_parsl_lie_in_the_run_directory(tmp_path, site):
    assert parsl_config(site, tmp_path).run_dir == str(tmp_path / "runinfo")


def test_messages_of_parsl_go_to_the_file_alone(tmp_path, caplog):
    with logging_to(tmp_path / "logs" / "parsl.log"):
        logging.getLogger("parsl.test").warning("a worker was lost")
    logging.getLogger("parsl.test").debug("not logged")
    assert "a worker was lost" in (tmp_path / "logs" / "parsl.log").read_text()
    assert caplog.text == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a Linux device")
def test_a_full_disk_does_not_fill_the_screen(capfd):
    with logging_to(Path("/dev/full")):
        logging.getLogger("parsl.test").warning("a worker was lost")
    assert capfd.readouterr().err == ""


ENDED_INTERCHANGE = """
import time
import parsl
from parsl import Config
from parsl.app.python import PythonApp
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.workers.allocation import resolve
from gcd_hpc.workers.parsl_pools import parsl_config

executor = parsl_config(resolve(SiteConfig(cores=2)), {run_dir!r}).executors[0]
executor.provider.init_blocks = 0
kernel = parsl.load(Config([executor], run_dir={run_dir!r}, initialize_logging=False))
executor.interchange_proc.terminate()
executor.interchange_proc.wait()
time.sleep(0.5)  # ZeroMQ notices in another thread that nobody is connected any more
future = PythonApp(abs, kernel, executors=[executor.label])(-1)
time.sleep(0.2)
executor.set_bad_state_and_fail_all(RuntimeError("gone"))
kernel.cleanup()
print(type(future.exception()).__name__)
"""


def test_a_task_for_an_interchange_that_has_ended_is_lost_and_neither_hangs_nor_aborts(tmp_path):
    # Without a limit on sending, four of ten such processes aborted in ZeroMQ or never ended.
    done = subprocess.run(
        [sys.executable, "-c", ENDED_INTERCHANGE.format(run_dir=str(tmp_path))],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, TOKEN_NAME: "test"},
    )
    assert done.stdout.strip() == "WorkerLostError", done.stderr[-2000:]
    assert done.returncode == 0


def test_the_interchange_ends_with_its_driver_however_that_ends(tmp_path):
    (tmp_path / "waits.py").write_text(
        "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n"
    )
    line = [
        part.replace("parsl.executors.high_throughput.interchange", "waits")
        for part in INTERCHANGE_LAUNCH_CMD
    ]
    code = f"import subprocess, time; subprocess.Popen({line!r}); time.sleep(60)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment
    ) as driver:
        assert driver.stdout is not None
        pid = int(driver.stdout.readline())
        assert is_alive(pid)
        driver.kill()
    deadline = time.monotonic() + 10.0
    while is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
