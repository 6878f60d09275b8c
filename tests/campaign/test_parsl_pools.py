import logging
import sys
from pathlib import Path

import pytest

from gcd_hpc.campaign.parsl_pools import HEAD, WORKERS, logging_to, parsl_config
from gcd_hpc.errors import RunDirectoryError


def test_the_pools_need_no_activated_environment(tmp_path, site):
    for pool in parsl_config(site, tmp_path).executors:
        assert pool.launch_cmd.startswith(f"{sys.executable} -m parsl.")
        assert pool.interchange_launch_cmd[0] == sys.executable


def test_chunks_and_launch_lines_have_pools_of_their_own(tmp_path, site):
    pools = {pool.label: pool for pool in parsl_config(site, tmp_path).executors}
    assert pools[WORKERS].max_workers_per_node == 2
    assert (pools[HEAD].max_workers_per_node, pools[HEAD].cores_per_worker) == (1, 1e-6)
    assert {pool.address for pool in pools.values()} == {"127.0.0.1"}


def test_files_of_parsl_lie_in_the_run_directory(tmp_path, site):
    assert parsl_config(site, tmp_path).run_dir == str(tmp_path / "runinfo")


@pytest.mark.parametrize("name", ["my run", "run;ls", "run'"])
def test_paths_that_a_shell_would_take_apart_are_refused(tmp_path, site, name):
    with pytest.raises(RunDirectoryError, match="without spaces and quotes"):
        parsl_config(site, tmp_path / name)


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
