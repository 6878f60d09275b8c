"""A Slurm of our own for the length of a test: nodes n1, n2, ... on this machine, reachable from
nowhere else, no services touched.
"""

import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol", "sinfo")
INSTALL = "apt-get update && apt-get install -y --no-install-recommends slurm-wlm munge"
SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"
# NoInAddrAny and NoCtldInAddrAny bind the daemons to loopback. A requeued job must wait until its
# old credential has expired.
CONFIG = """\
ClusterName=mini
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=100000
ReturnToService=2
SlurmdTimeout=6
KillWait=5
UnkillableStepTimeout=30
{nodes}
PartitionName=all Nodes=n[1-{num_nodes}] Default=YES MaxTime=INFINITE State=UP
"""
NODE = (
    "NodeName=n{k} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus}"
    " RealMemory={memory_mb} {gres}"
)


class Minislurm:
    """``with Minislurm(num_nodes=2) as slurm:`` everything that was started is gone at the end,
    also when the block fails.
    """

    def __init__(self, num_nodes: int = 2, num_gpus: int = 0) -> None:
        """
        Args:
            num_gpus: GPUs of each node. Slurm hands out other devices in their place, and sets the
                variables of NVIDIA and AMD for them.
        """
        # The daemons' folders are not on everybody's PATH.
        own = str(Path(sys.executable).parent)
        self._path = os.pathsep.join([own, os.environ["PATH"], SYSTEM_FOLDERS])
        missing = [name for name in PROGRAMS if shutil.which(name, path=self._path) is None]
        assert not missing, (
            f"expected Slurm on this machine, but there is no {', '.join(missing)}; install it:"
            f" {INSTALL}"
        )
        self.num_nodes, self.num_gpus = num_nodes, num_gpus
        self._daemons = dict[str, subprocess.Popen]()

    def __enter__(self) -> "Minislurm":
        self.folder = Path(tempfile.mkdtemp(prefix="minislurm-"))
        try:
            self._configure()
            socket_name = self.folder / "munge.sock"
            files = [
                f"--{name}-file={self.folder}/munge.{name}"
                for name in ("key", "pid", "log", "seed")
            ]
            self._start(
                "munged", "munged", "--foreground", "--force", f"--socket={socket_name}", *files
            )
            self.wait_until("munged opens its socket", socket_name.exists, 20)
            self._start("slurmctld", "slurmctld", "-D", "-c")
            for k in range(1, self.num_nodes + 1):
                self.start_node(k)
            self.wait_until(
                "all nodes are idle", lambda: self.node_states() == ["idle"] * self.num_nodes, 30
            )
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a user of this cluster; the running Python's commands come first."""
        outer = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SLURM_", "PMI_", "PMIX_"))
        }
        return {**outer, "PATH": self._path, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def call(self, *line: str | Path, **variables: str) -> str:
        """What a command of Slurm's prints."""
        environment = {**self.environment, **variables}
        done = subprocess.run(
            [*map(str, line)],
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
        assert done.returncode == 0, f"{' '.join(map(str, line))}: {done.stdout}{done.stderr}"
        return done.stdout

    def submit(self, *line: str | Path, folder: Path, **variables: str) -> int:
        """Number of a new job, ``sbatch`` with these arguments in that folder."""
        return int(self.call("sbatch", "--parsable", f"--chdir={folder}", *line, **variables))

    def job(self, number: int) -> dict[str, str]:
        """JobState, Restarts, Reason and the rest of what ``scontrol show job`` knows."""
        text = self.call("scontrol", "--oneliner", "show", "job", str(number))
        return dict(field.split("=", 1) for field in text.split() if "=" in field)

    def wait_for(self, number: int, *states: str, timeout_s: float) -> dict[str, str]:
        """The job as soon as it is in one of these states."""
        self.wait_until(
            f"job {number} is {' or '.join(states)}",
            lambda: self.job(number)["JobState"] in states,
            timeout_s,
        )
        return self.job(number)

    def wait_until(self, what: str, is_true: Callable[[], bool], timeout_s: float) -> None:
        """Fails with the ends of all logs if it takes too long or a daemon dies."""
        limit = time.monotonic() + timeout_s
        while not is_true():
            dead = [name for name, process in self._daemons.items() if process.poll() is not None]
            if dead or time.monotonic() > limit:
                why = f"{' and '.join(dead)} ended" if dead else f"not so after {timeout_s} s"
                raise AssertionError(f"{what}: {why}\n{self.logs()}")
            # Most questions start a process of Slurm's.
            time.sleep(0.5)

    def logs(self) -> str:
        """The last of what every daemon has said."""
        ends = {
            path.name: path.read_text(errors="replace")[-2000:]
            for path in sorted(self.folder.glob("*.[lo][ou][gt]"))
        }
        return json.dumps(ends, indent=1).replace("\\n", "\n")

    def node_states(self) -> list[str]:
        """Of n1, n2, ...: ``idle``, ``alloc``, ``down*``; nothing while the controller does not
        answer.
        """
        done = subprocess.run(
            ["sinfo", "-h", "-N", "-o", "%T"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout.split()

    def start_node(self, k: int) -> None:
        (self.folder / f"spool-n{k}").mkdir(exist_ok=True)
        self._start(f"n{k}", "slurmd", "-D", "-N", f"n{k}")

    def kill_node(self, k: int) -> None:
        """As if its plug was pulled: the daemon and everything that runs on the node."""
        self._kill(self._daemons.pop(f"n{k}"))
        _kill_all(lambda: self._processes_of(f"n{k}"))

    def _configure(self) -> None:
        host, port = socket.gethostname().split(".")[0], free_ports(self.num_nodes + 1)
        values = {
            "host": host,
            "cpus": os.cpu_count(),
            "gres": f"Gres=gpu:{self.num_gpus}" if self.num_gpus else "",
            "memory_mb": psutil.virtual_memory().total // 2**20 // self.num_nodes,
        }
        nodes = "\n".join(
            NODE.format(k=k, port=port + k, **values) for k in range(1, self.num_nodes + 1)
        )
        user = pwd.getpwuid(os.getuid()).pw_name
        text = CONFIG.format(
            host=host,
            port=port,
            user=user,
            folder=self.folder,
            nodes=nodes,
            num_nodes=self.num_nodes,
        )
        if self.num_gpus:
            text += "GresTypes=gpu\n"
            for index in range(self.num_gpus):
                (self.folder / f"gpu{index}").symlink_to("/dev/null")
            files = f"{self.folder}/gpu[0-{self.num_gpus - 1}]"
            (self.folder / "gres.conf").write_text(f"Name=gpu File={files}\n")
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "state").mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)

    def _start(self, name: str, *line: str) -> None:
        with open(self.folder / f"{name}.out", "ab") as output:
            self._daemons[name] = subprocess.Popen(
                line,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _processes_of(self, node: str | None) -> list[psutil.Process]:
        """Step managers of one node or of all, and everything below them or marked by them."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.name() == "slurmstepd" or process.cmdline()[:1] == ["slurmstepd:"]:
                    logs = (
                        {self.folder / f"{node}.log"}
                        if node
                        else {self.folder / f"n{k}.log" for k in range(1, self.num_nodes + 1)}
                    )
                    is_ours = any(Path(file.path) in logs for file in process.open_files())
                else:
                    variables = process.environ()
                    is_ours = (
                        variables.get("SLURM_CONF") == str(self.folder / "slurm.conf")
                        and "SLURMD_NODENAME" in variables
                    )
                    is_ours = is_ours and node in (None, variables["SLURMD_NODENAME"])
                if is_ours:
                    found += [process, *process.children(recursive=True)]
        return found

    def _kill(self, daemon: subprocess.Popen) -> None:
        daemon.kill()
        daemon.wait()

    def _stop(self) -> None:
        for name in [name for name in self._daemons if name not in ("slurmctld", "munged")]:
            self._kill(self._daemons.pop(name))
        _kill_all(lambda: self._processes_of(None))
        while self._daemons:
            self._kill(self._daemons.popitem()[1])
        shutil.rmtree(self.folder)


def _kill_all(find: Callable[[], list[psutil.Process]]) -> None:
    """Kill what is found until nothing is: processes may start others meanwhile."""
    for _ in range(20):
        found = find()
        if not found:
            return
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(found, timeout=1)
    raise AssertionError(f"processes that do not die: {find()}")


def free_ports(num: int) -> int:
    """The first of so many ports in a row that nobody uses."""
    for start in _candidates(num):
        with suppress(OSError):
            for port in range(start, start + num):
                with socket.socket() as one:
                    one.bind(("127.0.0.1", port))
            return start
    raise AssertionError("no free ports between 14000 and 19000")


def _candidates(num: int) -> Iterator[int]:
    # Below the range from which the kernel gives ports to outgoing connections.
    for _ in range(100):
        yield 14000 + secrets.randbelow(5000 - num)
