"""A small smoke campaign with every stage and a search of six tries, each carried out once in a
session the way users do it; the campaign is watched meanwhile.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from gcd_hpc.config.loader import dump, load_campaign
from gcd_hpc.store.run_directory import RunDirectory
from tests.sharing import made_once

ROOT = Path(__file__).parents[1]
SMALL = (
    "search.num_tries=12",
    "search.chunk_size=4",
    "explore.chains=2",
    "explore.chains_per_task=1",
    "promotion.num_canaries=4",
    "sampling.num_candidates=6",
    "sampling.num_steps=4",
    "sampling.chunk_size=2",
    "sampling.batch_size=2",
)
"""Changes of campaigns/smoke.yaml: starting its processes takes most of the time that is left."""
NUM_SEARCHED, NUM_SAMPLED, NUM_EXPLORED, NUM_CHUNKS, ROUNDS = 12, 6, 8, 3, 2
"""Tries; candidates of a model; moves after the search and after each round; chunks of the search
and of a model.
"""
SETTINGS = (
    "search.chunk_size=2",
    "search.md.probability=0",
    "sampling.num_candidates=4",
    "sampling.chunk_size=2",
)
SEARCH = (
    *("search", "--campaign", str(ROOT / "campaigns/smoke.yaml"), "--num", "6"),
    *(word for setting in SETTINGS for word in ("--set", setting)),
)
"""A search of six tries in three parts. A model of the campaign would be sampled in two."""
HERE = "r (1) 'ü' [日本] #~"
"""Name of the working directory, which shells and LAMMPS would take apart."""
MODULES = ("random", "queue", "types", "socket", "subprocess", "torch", "parsl", "lammps")
"""A file of each of these names lies in the working directory."""
PAUSE_S = 0.6
"""Between two looks. What is listened on for a training or by a pool is open for seconds."""


@dataclass
class Smoke:
    """The finished campaign and the folder that it ran in. Do not write there."""

    folder: Path
    listening: set[tuple[str, str]] = field(default_factory=set)
    """Command of a process and the address that it listened on."""
    commands: set[str] = field(default_factory=set)
    """Of all processes of the campaign."""
    _strangers: set[int] = field(default_factory=set)
    """Processes of others, whose environment need not be read again."""

    @property
    def work(self) -> Path:
        """The working directory."""
        return self.folder / HERE

    @property
    def campaign(self) -> Path:
        """The campaign file."""
        return self.work / "campaigns/smoke.yaml"

    @property
    def run_dir(self) -> Path:
        return self.work / "runs/smoke"

    @property
    def temporary(self) -> Path:
        """Folder for temporary files of the campaign alone."""
        return self.folder / "tmp"

    @property
    def executed(self) -> Path:
        """Is there if a file of the working directory was imported."""
        return self.folder / "executed"

    @property
    def sightings(self) -> Path:
        """What was seen while it ran."""
        return self.folder / "seen.json"

    def copy_before_round(self, round: int, run_dir: Path) -> Path:
        """A copy of the run, as a driver left it that was killed right before a round began."""
        run = RunDirectory(shutil.copytree(self.run_dir, run_dir))
        for later in range(round, ROUNDS + 1):
            for folder in (
                run.model_dir(later),
                run.sampled_dir(later).parent,
                run.explored_part(later, 0).parent,
            ):
                shutil.rmtree(folder)
        for file in (run.results, run.summary, run.figure):
            file.unlink()
        events = run.ledger.read_text().splitlines(keepends=True)
        begin = next(k for k, event in enumerate(events) if f'["select-{round:02d}"]' in event)
        run.ledger.write_text("".join(events[:begin]))
        return run.path

    def prepare(self) -> None:
        """Write all that is there before it runs."""
        self.temporary.mkdir()
        shutil.copytree(ROOT / "campaigns", self.campaign.parent)
        self.campaign.write_text(dump(load_campaign(ROOT / "campaigns/smoke.yaml", SMALL)))
        for name in MODULES:
            text = f"open({str(self.executed)!r}, 'a').write('x')"
            (self.work / f"{name}.py").write_text(text)

    def carry_out(self) -> None:
        """Run it to its end by the first command of the tutorial."""
        line = [str(Path(sys.executable).with_name("gcd-hpc")), "campaign", "campaigns/smoke.yaml"]
        with open(self.folder / "output", "w") as output:
            driver = subprocess.Popen(
                line,
                cwd=self.work,
                env={**os.environ, "TMPDIR": str(self.temporary)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + 400
        while driver.poll() is None and time.monotonic() < deadline:
            self._look()
            time.sleep(PAUSE_S)
        driver.kill()
        assert driver.wait() == 0, (self.folder / "output").read_text()
        seen = {"listening": sorted(self.listening), "commands": sorted(self.commands)}
        self.sightings.write_text(json.dumps(seen))

    def _look(self) -> None:
        """Add what the processes of the campaign have open at this moment: those whose temporary
        files lie in its folder, for workers are not all descendants of the driver.
        """
        for pid in set(psutil.pids()) - self._strangers:
            try:
                process = psutil.Process(pid)
                if not process.environ().get("TMPDIR", "").startswith(str(self.folder)):
                    self._strangers.add(pid)
                    continue
                command = " ".join(process.cmdline())
                self.commands.add(command)
                for connection in process.net_connections("inet"):
                    is_bound_udp = connection.type == socket.SOCK_DGRAM and connection.laddr
                    if connection.status == psutil.CONN_LISTEN or is_bound_udp:
                        self.listening.add((command, connection.laddr.ip))
            except psutil.Error:
                continue  # gone by now


def _make(folder: Path) -> None:
    smoke = Smoke(folder)
    smoke.prepare()
    smoke.carry_out()


def shared_smoke(factory: pytest.TempPathFactory) -> Smoke:
    """The finished campaign, as all tests of a session share it."""
    found = Smoke(made_once(factory, "smoke", _make))
    seen = json.loads(found.sightings.read_text())
    found.listening.update((command, ip) for command, ip in seen["listening"])
    found.commands.update(seen["commands"])
    return found


def shared_search(factory: pytest.TempPathFactory) -> Path:
    """Folder of the finished search, as all tests of a session share it: ``run``, its run
    directory, and ``printed``, what the command printed.
    """

    def search(folder: Path) -> None:
        line = [sys.executable, "-m", "gcd_hpc.cli", *SEARCH, "--run-dir", str(folder / "run")]
        done = subprocess.run(line, capture_output=True, text=True, timeout=150)
        assert done.returncode == 0, done.stderr
        (folder / "printed").write_text(done.stdout)

    return made_once(factory, "search", search)
