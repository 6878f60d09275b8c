"""Places that a user may name for a result: what is there is replaced whole, or written through."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gcd_hpc.errors import RunDirectoryError
from gcd_hpc.files import output, output_folder


def write(path: Path, text: str = "new") -> None:
    with output(path) as temporary:
        temporary.write_text(text)


def test_the_file_behind_a_symbolic_link_is_replaced_and_the_link_stays(tmp_path):
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target.name)
    write(link)
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_pipe_gets_the_bytes_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    write(pipe)
    reader.join(timeout=10)
    assert got == ["new"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_stays_a_device():
    write(Path("/dev/null"))
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize("place", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_gets_the_bytes_behind_what_its_file_holds(tmp_path, place):
    code = (
        "from pathlib import Path; from gcd_hpc.files import output\n"
        f"print('before')\nwith output(Path({place!r})) as temporary: temporary.write_text('new')"
    )
    with (tmp_path / "kept").open("w") as file:
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert (tmp_path / "kept").read_text() == "before\nnew"


@pytest.mark.parametrize("place", ["", ".", "folder", "folder/"])
def test_a_folder_is_no_place_for_a_file(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunDirectoryError, match="it is a folder; name a file"):
        write(Path(place))
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_of_several_files_all_come_or_none(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "0").write_text("old")

    def fill_the_disk():
        with output_folder(out) as folder:
            (folder / "0").write_text("new")
            raise OSError(28, "No space left on device")

    with pytest.raises(RunDirectoryError, match="no space left on device; free some"):
        fill_the_disk()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (out / "0").read_text() == "old"
    with output_folder(out) as folder:
        (folder / "0").write_text("new")
        (folder / "1").write_text("new")
    assert sorted(path.name for path in out.iterdir()) == ["0", "1"]
    assert (out / "0").read_text() == "new"


def test_a_file_is_no_place_for_several_files(tmp_path):
    (tmp_path / "out").write_text("old")
    with pytest.raises(RunDirectoryError, match="it is no folder"), output_folder(tmp_path / "out"):
        pass
