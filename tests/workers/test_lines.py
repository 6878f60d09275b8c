import subprocess
import sys
import tempfile

import pytest

from gcd_hpc.config.loader import load_site
from gcd_hpc.config.site import BUILT_IN, PoolConfig, SiteConfig
from gcd_hpc.errors import LaunchError, RunDirectoryError
from gcd_hpc.stages.table import STAGES
from gcd_hpc.workers.allocation import resolve
from gcd_hpc.workers.fitting import (
    check_run_dir,
    fit_site,
    idle_note,
    idle_note_from_afar,
    launch_lines,
    plan_site,
)
from gcd_hpc.workers.lines import (
    launch_environment,
    sample_line,
    submit_line,
    train_line,
    with_shell_lines,
)
from gcd_hpc.workers.nodes import NodeSet, own_address

HERE = NodeSet(("localhost",), True, "127.0.0.1")
TWO = NodeSet(("n1", "n2"), False, "10.0.0.1")
TASK = "0123456789abcdef"


def make(**sections: object) -> SiteConfig:
    return resolve(SiteConfig.model_validate({"cores": 4, **sections}), {})


def test_on_one_machine_the_running_python_is_started_without_a_scheduler():
    site = make(mpiexec="/bin/mpiexec", training={"processes_per_node": 2})
    ranks = [sys.executable, "-m", "gcd_hpc.workers.ranks", "2", "a.train", "run", "1"]
    assert train_line(site, HERE, "a.train", ["run", "1"], TASK, 1) == ranks
    assert sample_line(site, HERE, "a.sample", ["run", "1"]) == [
        "/bin/mpiexec",
        "-n",
        "4",
        sys.executable,
        "-m",
        "a.sample",
        "run",
        "1",
    ]


def test_torchrun_on_several_nodes_meets_at_the_first_one():
    line = train_line(
        make(scheduler="slurm", training={"num_nodes": 2}), TWO, "a.train", [], TASK, 7
    )
    assert line[0] == "srun" and {
        "--overlap",
        "--nodes=2",
        "--ntasks-per-node=1",
        "--nodelist=n1,n2",
    } <= set(line)
    (endpoint,) = (word for word in line if word.startswith("--rdzv-endpoint="))
    address, port = endpoint.split("=")[1].split(":")
    assert address == "10.0.0.1" and 20000 <= int(port) < 40000
    assert {"--nnodes=2", "--nproc-per-node=4", "--rdzv-id=0123456789ab-7"} <= set(line)


def test_two_tries_of_a_task_do_not_meet():
    lines = [
        train_line(make(scheduler="slurm", training={"num_nodes": 2}), TWO, "a", [], TASK, attempt)
        for attempt in (1, 2)
    ]
    assert {word for word in lines[0] if "rdzv-endpoint" in word} != {
        word for word in lines[1] if "rdzv-endpoint" in word
    }


def test_ranks_on_several_nodes_are_started_by_srun_or_as_the_site_says():
    pool = {"num_nodes": 2, "processes_per_node": 3}
    line = sample_line(make(scheduler="slurm", sampling=pool), TWO, "a", [])
    assert {"--ntasks=6", "--ntasks-per-node=3", "--overlap"} <= set(line)
    line = sample_line(
        make(scheduler="slurm", sampling={**pool, "launcher": "mpiexec"}), TWO, "a", []
    )
    assert line[:7] == ["mpiexec", "-n", "6", "-ppn", "3", "-hosts", "n1,n2"]
    line = train_line(make(scheduler="pbs", training=pool), TWO, "a", [], TASK, 1)
    assert line[:7] == ["mpiexec", "-n", "2", "-ppn", "1", "-hosts", "n1,n2"]


def test_under_flux_ranks_are_a_job_and_one_process_a_node_needs_none():
    site = make(
        scheduler="flux",
        training={"num_nodes": 2, "first_node": 1},
        sampling={"num_nodes": 2, "processes_per_node": 3},
    )
    line = sample_line(site, TWO, "a.sample", ["run"])
    assert line[:2] == ["flux", "run"]
    assert {"--nodes=2", "--tasks-per-node=3", "--requires=rank:0-1"} <= set(line)
    assert line[-4:] == [sys.executable, "-m", "a.sample", "run"]
    line = train_line(site, TWO, "a.train", [], TASK, 1)
    assert line[:4] == ["flux", "exec", "--noinput", "--rank=1-2"]
    assert line[4:7] == [sys.executable, "-m", "torch.distributed.run"]


def test_ranks_on_one_node_are_started_by_flux_only_if_the_site_says_so():
    for launcher, program in {"auto": "mpiexec", "flux": "flux"}.items():
        site = make(scheduler="flux", sampling={"num_nodes": 1, "launcher": launcher})
        assert sample_line(site, HERE, "a", [])[0] == program


def test_ranks_of_an_lsf_job_are_started_by_the_mpiexec_of_the_site():
    site = make(scheduler="lsf", sampling={"num_nodes": 2, "processes_per_node": 3})
    line = sample_line(site, TWO, "a", [])
    assert line[:7] == ["mpiexec", "-n", "6", "-ppn", "3", "-hosts", "n1,n2"]


def test_the_mpi_plugin_of_the_site_comes_before_that_of_the_shell():
    site = make(scheduler="slurm", mpi="cray_shasta")
    shell = {"SLURM_MPI_TYPE": "pmix"}
    found = launch_environment(site, site.sampling, is_here=False, environ=shell)
    assert found["SLURM_MPI_TYPE"] == "cray_shasta"


def test_a_container_comes_between_the_launcher_and_its_own_python():
    site = make(
        scheduler="slurm", sampling={"num_nodes": 2, "container": "apptainer exec --nv a.sif"}
    )
    line = sample_line(site, TWO, "a.sample", ["run"])
    assert line[line.index("apptainer") :] == [
        "apptainer",
        "exec",
        "--nv",
        "a.sif",
        "python3",
        "-m",
        "a.sample",
        "run",
    ]


def test_shell_lines_run_before_the_launch_line():
    site = make(training={"environment": ["module load cuda"]})
    assert with_shell_lines(site.training, ["a", "b"]) == [
        "bash",
        "-c",
        'set -e\nmodule load cuda\nexec "$@"',
        "bash",
        "a",
        "b",
    ]


def test_only_processes_of_one_node_are_kept_to_the_loopback_interface():
    site = make(scheduler="slurm", interface="ib0")
    assert launch_environment(site, site.training)["GLOO_SOCKET_IFNAME"] == "lo"
    several = launch_environment(site, site.training, is_here=False, environ={})
    assert (several["GLOO_SOCKET_IFNAME"], several["SLURM_MPI_TYPE"], "UCX_TLS" in several) == (
        "ib0",
        "pmi2",
        False,
    )
    assert (
        launch_environment(site, site.training, False, {"SLURM_MPI_TYPE": "pmix"})["SLURM_MPI_TYPE"]
        == "pmix"
    )


def test_gpus_are_seen_only_where_they_are_counted():
    site = make(training={"gpus_per_node": 2})
    assert "CUDA_VISIBLE_DEVICES" not in launch_environment(site, site.training)
    hidden = launch_environment(site, site.sampling)
    assert (hidden["CUDA_VISIBLE_DEVICES"], hidden["HIP_VISIBLE_DEVICES"]) == ("", "-1")


def test_automatic_training_processes_divide_a_batch_evenly():
    fit = fit_site(SiteConfig(cores=3), batch_size=4, needs_launchers=True)
    assert [pool.num_workers for pool in (fit.training, fit.sampling, fit.relaxation)] == [2, 3, 3]


def test_idle_gpus_of_a_training_are_told():
    site = SiteConfig.model_validate(
        {"scheduler": "slurm", "cores": 8, "training": {"gpus_per_node": 4, "num_nodes": 4}}
    )
    assert idle_note(site, batch_size=16) == ""
    assert "uses 4 of 16 GPUs" in idle_note(
        site.model_copy(update={"training": PoolConfig(gpus_per_node=4)}), 4, num_nodes=4
    )


@pytest.mark.parametrize(("cores", "said"), [(8, ""), (12, ""), (6, "uses 4 of 6 cores")])
def test_cores_that_the_threads_of_few_processes_use_are_not_called_idle(cores, said):
    # Four processes have two threads each on 8 cores, three on 12 and one on 6.
    note = idle_note(SiteConfig(cores=cores), batch_size=4)
    assert said in note and bool(said) == bool(note)


def test_on_another_machine_only_gpus_and_stated_cores_are_judged(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    auto = SiteConfig(scheduler="slurm", mode="asynchronous")
    assert idle_note_from_afar(auto, batch_size=1) == ""
    stated = auto.model_copy(update={"cores": 6})
    assert "uses 4 of 6 cores" in idle_note_from_afar(stated, batch_size=4)
    gpus = auto.model_copy(update={"training": PoolConfig(gpus_per_node=4, num_nodes=4)})
    with pytest.raises(LaunchError, match=r"no number of processes on 4 nodes with 4 divides"):
        idle_note_from_afar(gpus.model_copy(update={"cores": 6}), batch_size=6)
    assert "uses 4 of 8 GPUs" in idle_note_from_afar(
        auto.model_copy(update={"training": PoolConfig(gpus_per_node=8)}), batch_size=4
    )


def test_the_job_that_a_plan_proposes_has_the_account_and_the_kind_of_nodes_of_the_site():
    site = SiteConfig.model_validate(
        {
            "scheduler": "slurm",
            "sampling": {"gpus_per_node": 4},
            "blocks": {
                "account": "m1234_g",
                "constraint": "gpu",
                "qos": "regular",
                "walltime": "12:00:00",
                "options": ["#SBATCH --mail-type=END"],
            },
        }
    )
    assert submit_line(site, 4, "w.yaml") == [
        "sbatch",
        "--nodes=4",
        "--gpus-per-node=4",
        "--account=m1234_g",
        "--constraint=gpu",
        "--qos=regular",
        "--time=12:00:00",
        "--mail-type=END",
        "batch/campaign.sh",
        "w.yaml",
    ]


def test_stated_training_processes_that_do_not_divide_a_batch_are_refused():
    site = SiteConfig.model_validate({"cores": 3, "training": {"processes_per_node": 3}})
    with pytest.raises(
        LaunchError,
        match=r"no number of processes on 1 nodes with 3.* divides training.batch_size, 4",
    ):
        fit_site(site, batch_size=4, needs_launchers=True)


def test_an_allocations_site_outside_of_a_job_is_one_sentence_with_the_cure():
    with pytest.raises(
        LaunchError,
        match=(
            r"site slurm_allocation: the campaign cannot start here, because this is not inside a"
            r" Slurm job; submit it with sbatch"
        ),
    ):
        fit_site(load_site("slurm_allocation"), batch_size=4, needs_launchers=True)


def test_an_unknown_network_interface_is_told_with_the_known_ones():
    with pytest.raises(
        LaunchError, match=r"interface: .* has no network interface 'ib7'; choose one of .*lo"
    ):
        own_address("ib7")
    assert own_address("lo") == "127.0.0.1"


@pytest.mark.parametrize("name", [*BUILT_IN, "slurm_login"])
def test_what_a_site_would_run_is_told_for_every_stage_without_a_job(tmp_path, name):
    lines = launch_lines(plan_site(load_site(name), batch_size=4), tmp_path, 1)
    assert list(lines) == list(STAGES)
    assert f"gcd_hpc.stages.train {tmp_path} 1" in lines["train"]


@pytest.mark.parametrize("name", ["my run", "run;ls", "run'", "r(1)", "r[1]"])
def test_paths_that_a_shell_would_take_apart_are_refused_for_jobs_with_the_characters(
    tmp_path, monkeypatch, name
):
    with pytest.raises(
        RunDirectoryError, match=r"cannot be used with a scheduler.* would take ['\"]"
    ):
        check_run_dir(load_site("slurm_login"), tmp_path / name)
    check_run_dir(load_site("slurm_login"), tmp_path / "Müller-日本")
    check_run_dir(make(), tmp_path / name)
    monkeypatch.setattr(tempfile, "tempdir", "/my tmp")
    with pytest.raises(RunDirectoryError, match="choose another --run-dir or set TMPDIR"):
        check_run_dir(make(), tmp_path / name)


def test_too_low_a_limit_of_open_files_is_one_sentence_and_a_low_one_is_raised():
    code = """if True:
        import resource, sys
        soft, hard = map(int, sys.argv[1:])
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        from gcd_hpc.config.site import PoolConfig, SiteConfig
        from gcd_hpc.errors import LaunchError
        from gcd_hpc.workers.fitting import fit_site
        try:
            fit_site(SiteConfig(cores=2), 4, needs_launchers=False)
        except LaunchError as error:
            print(error)
        print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    """

    def fit(soft: int, hard: int) -> list[str]:
        line = [sys.executable, "-c", code, str(soft), str(hard)]
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout.splitlines()

    assert fit(100, 1000) == ["1000"]
    (sentence, _) = fit(64, 64)
    assert "open 64 files (ulimit -n), and the pools of workers need 128" in sentence
