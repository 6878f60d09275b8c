"""What a campaign on one machine opens, imports and leaves behind: looked at while a small one
runs.
"""

import ipaddress
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.lammps, pytest.mark.mpi]
ROOT = Path(__file__).parents[2]
RUN = "r (1) 'ü' [日本]"
"""A name that shells and LAMMPS would take apart."""
SMALL = [
    *["search.num_tries=24", "search.chunk_size=12", "search.md.probability=0", "budget.rounds=1"],
    *["training.num_steps=30", "sampling.num_candidates=4", "sampling.chunk_size=2"],
]
MODULES = ("random", "queue", "types", "socket", "subprocess", "torch", "parsl", "lammps")
"""A file of each of these names lies in the working directory."""


@dataclass
class Seen:
    """What the processes of a campaign had open, and the folder that it ran in."""

    folder: Path
    listening: set[tuple[str, str]] = field(default_factory=set)
    """Name of the process and address."""
    commands: set[str] = field(default_factory=set)
    output: str = ""


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> Seen:
    """A real campaign of one round that trains with two processes and samples with two ranks."""
    seen = Seen(tmp_path_factory.mktemp("closed"))
    temporary, work = seen.folder / "tmp", seen.folder / "work"
    temporary.mkdir()
    work.mkdir()
    for name in MODULES:
        (work / f"{name}.py").write_text(f"open({str(seen.folder / 'executed')!r}, 'a').write('x')")
    line = [
        str(Path(sys.executable).with_name("gcd-hpc")),
        *["campaign", str(ROOT / "campaigns" / "smoke.yaml"), "--run-dir", RUN],
        *(word for system in SMALL for word in ("--set", system)),
    ]
    with open(seen.folder / "output", "w") as output:
        environment = {**os.environ, "TMPDIR": str(temporary)}
        driver = subprocess.Popen(line, cwd=work, env=environment, stdout=output, stderr=output)
    deadline = time.monotonic() + 400
    while driver.poll() is None and time.monotonic() < deadline:
        look(seen)
        time.sleep(0.05)
    driver.kill()
    seen.output = (seen.folder / "output").read_text()
    assert driver.wait() == 0, seen.output
    return seen


def look(seen: Seen) -> None:
    """Add what the processes of the campaign have open at this moment: those whose temporary files
    lie in its folder, for workers are not all descendants of the driver.
    """
    for process in psutil.process_iter():
        try:
            if not process.environ().get("TMPDIR", "").startswith(str(seen.folder)):
                continue
            command = " ".join(process.cmdline())
            seen.commands.add(command)
            for connection in process.net_connections("inet"):
                is_bound_udp = connection.type == socket.SOCK_DGRAM and connection.laddr
                if connection.status == psutil.CONN_LISTEN or is_bound_udp:
                    seen.listening.add((command, connection.laddr.ip))
        except psutil.Error:
            continue  # gone by now, or another user's


def is_loopback(ip: str) -> bool:
    """Also of an IPv4 address in a socket for both protocols."""
    address = ipaddress.ip_address(ip)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def test_the_campaign_trains_with_several_processes_and_samples_with_mpi(seen):
    """Else the tests below would look at less than a campaign."""
    for word in ("gcd_hpc.stages.train", "gcd_hpc.stages.sample", "mpiexec", "interchange"):
        assert any(word in command for command in seen.commands), word


def test_every_listening_socket_is_bound_to_the_loopback_address(seen):
    # The pools of workers and the two processes of the training listen.
    assert any("interchange" in name for name, _ in seen.listening)
    assert any("gcd_hpc.stages.train" in name for name, _ in seen.listening)
    assert {(name, ip) for name, ip in seen.listening if not is_loopback(ip)} == set()


def test_modules_of_the_working_directory_are_not_imported(seen):
    assert not (seen.folder / "executed").exists()


def test_nothing_is_left_in_the_temporary_folder(seen):
    assert list((seen.folder / "tmp").iterdir()) == []
