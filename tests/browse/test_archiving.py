"""Archives of runs: whole, the same each time, readable without this package."""

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from gcd_hpc.browse.archiving import write_archive
from gcd_hpc.campaign.events import Finished, Opened, to_line
from gcd_hpc.campaign.ledger import read_state
from gcd_hpc.campaign.portable import portable_config, portable_text
from gcd_hpc.config.reader import write
from gcd_hpc.engines.potentials import kept_name
from gcd_hpc.errors import RunDirectoryError, StoreError
from gcd_hpc.phases.clustering import find_phases
from gcd_hpc.phases.measuring import measured
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import Task
from gcd_hpc.store.provenance import campaign_of
from gcd_hpc.store.run import open_run
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.run_set import RunSet
from tests.browse.sets import NOT_BEGUN, make_set
from tests.phases.made import made_record

HOME = "/home/somebody/potentials/Cu.eam.alloy"
KEPT = kept_name(HOME)
HOST = "login7.cluster"


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    return RunSet.open(make_set(tmp_path_factory.mktemp("archive")))


@pytest.fixture(scope="module")
def run(opened):
    """A run with a potential from the user's home, and a ledger that names the host."""
    run = RunDirectory(opened.directory("s5_310"))
    text = run.config.read_text().replace("Cu_mishin1.eam.alloy", HOME)
    run.config.write_text(text)
    run.potential.mkdir()
    (run.potential / KEPT).write_text("# CITATION: Somebody (2001)\nnumbers\n")
    events = [
        Opened(plan=Plan(1, 1, 1, 1), token="secret", pid=77, created=5.0, time=6.0, host=HOST),
        Finished(
            task=Task.parse("search-00000"),
            result=StageResult(num=4, ok=3, seconds=2.0),
            started=6.0,
            seconds=2.0,
            cores=1,
            cpu_s=1.5,
            worker=f"{HOST} 78",
            time=8.0,
        ),
    ]
    crc, lines = 0, b""
    for event in events:
        line, crc = to_line(event, crc)
        lines += line
    run.ledger.write_bytes(lines)
    return run


@pytest.fixture(scope="module")
def unpacked(run, tmp_path_factory):
    place = tmp_path_factory.mktemp("out")
    write_archive(run.path, place / "cu.zip")
    with zipfile.ZipFile(place / "cu.zip") as archive:
        archive.extractall(place)
    return place / "cu"


def isolated(folder: Path, *words: str) -> str:
    """The reader's output where of all packages only numpy and h5py can be imported."""
    packages = Path(sysconfig.get_paths()["purelib"])
    only = folder.parent / "only"
    only.mkdir(exist_ok=True)
    for path in packages.iterdir():
        if path.name.split(".")[0] in ("numpy", "h5py") and not (only / path.name).exists():
            (only / path.name).symlink_to(path)
    code = (
        f"import sys, runpy; sys.path.append({str(only)!r}); sys.argv = sys.argv[1:];"
        " runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    line = [sys.executable, "-I", "-S", "-c", code, "read_results.py", *words]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    gone = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({str(only)!r});"]
    gone[-1] += " import gcd_hpc"
    assert subprocess.run(gone, capture_output=True, timeout=60).returncode == 1
    return done.stdout


def test_energies_and_atoms_are_read_without_this_package_as_they_were_stored(run, unpacked):
    best = open_run(run.path).best_per_n()
    lines = isolated(unpacked, "results.h5").splitlines()[1:]
    found = {line.split()[-1]: float(line.split()[1]) for line in lines}
    assert found == {one.id: one.gb_energy_j_m2 for one in best}
    atoms = isolated(unpacked, "results.h5", best[0].id).splitlines()[1:]
    stored = zip(best[0].positions, best[0].energies_ev, strict=True)
    assert [[float(word) for word in line.split()[1:]] for line in atoms] == [
        [*place, energy] for place, energy in stored
    ]


def test_sha256sum_finds_every_file_as_it_was_written(unpacked):
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=unpacked, capture_output=True)
    assert done.returncode == 0
    listed = {line.split("  ")[1] for line in (unpacked / "SHA256SUMS").read_text().splitlines()}
    there = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*.*")}
    assert listed == {name for name in there if (unpacked / name).is_file()} | {"LICENSE"}


def test_the_same_run_gives_the_same_bytes_and_nothing_is_written_into_it(run, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    for folder in ("a", "b"):
        write_archive(run.path, tmp_path / folder / "x.zip")
    assert (tmp_path / "a/x.zip").read_bytes() == (tmp_path / "b/x.zip").read_bytes()
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before


def test_an_archive_names_neither_the_users_folders_nor_the_hosts(run, unpacked):
    for path in unpacked.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        # The file system's own paths may be in no file either.
        for word in (b"/home/somebody", HOST.encode(), b"secret", bytes(run.path)):
            assert word not in content, path
    kept = campaign_of(RunDirectory(unpacked).config.read_text())["potential"]["file"]
    assert (RunDirectory(unpacked).potential / kept).is_file()
    assert "Somebody (2001)" in (unpacked / "potential/NOTICE.txt").read_text()
    state = read_state(unpacked)
    assert [done.core_s for done in state.finished.values()] == [1.5]


def test_files_in_words_of_the_pair_style_are_named_as_the_run_keeps_them(run):
    plain = {"potential": {"pair_style": "eam/alloy", "pair_coeff": f"* * {HOME} Cu"}}
    kept = portable_config(plain, run)["potential"]
    assert kept == {"pair_style": "eam/alloy", "pair_coeff": f"* * {KEPT} Cu"}


def test_a_campaign_without_paths_stays_as_it_is(run):
    text = write({"name": "x", "potential": {"pair_style": "eam/alloy", "file": "W.eam.alloy"}})
    assert portable_text(text, run) == text


def test_an_archive_of_a_selection_holds_these_candidates_alone(run, tmp_path):
    write_archive(run.path, tmp_path / "low", "energy<0.95")
    assert [one.id for one in open_run(tmp_path / "low")] == ["search-000001"]
    with pytest.raises(StoreError, match="no candidates with energy<0"):
        write_archive(run.path, tmp_path / "none", "energy<0")
    assert [path.name for path in tmp_path.iterdir()] == ["low"]


def test_an_archive_of_a_set_is_a_set_with_the_boundaries_that_hold_candidates(opened, tmp_path):
    write_archive(opened.path, tmp_path / "set")
    copy = RunSet.open(tmp_path / "set")
    assert list(copy.members) == [name for name in opened.campaigns if name != NOT_BEGUN]
    assert "s13_320" in (tmp_path / "set/README.md").read_text()
    isolated(tmp_path / "set", "boundaries/s5_210/results.h5")


def test_an_archive_is_refused_in_the_run_itself_and_in_a_folder_with_files(run, tmp_path):
    with pytest.raises(RunDirectoryError, match="lies in the run"):
        write_archive(run.path, run.path / "archive")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").touch()
    with pytest.raises(RunDirectoryError, match="there are files already"):
        write_archive(run.path, tmp_path / "mine")


def test_what_was_measured_of_phases_goes_with_the_run_and_unfinished_work_does_not(
    opened, tmp_path
):
    shutil.copytree(opened.directory("s5_210"), tmp_path / "run")
    run = RunDirectory(tmp_path / "run")
    (phase, *_) = find_phases(open_run(run.path))
    record = made_record(phase, "excess", {"gb_energy_j_m2": 0.94})
    path = run.measured("excess", phase.file_name)
    path.parent.mkdir(parents=True)
    record.write(path)
    unfinished = run.measuring("excess", phase.file_name, record.question)
    unfinished.mkdir()
    (unfinished / "state").touch()
    write_archive(run.path, tmp_path / "out")
    copy = open_run(tmp_path / "out")
    assert measured(copy, find_phases(copy)[0], "excess") == record
    assert [one.name for one in (tmp_path / "out/phases/excess").iterdir()] == [path.name]
