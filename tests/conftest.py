"""One thread a process, and no HDF5 file left open."""

import gc
import os
import sys
import time
from pathlib import Path

import pytest
from hypothesis import settings

# Before numpy and torch are imported: two cores are shared by ranks, workers and tests, and sums
# must not depend on the machine.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

# The same examples everywhere; how long one takes says more about the neighbours than about the
# code.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")

# Half a minute and more each: one that is left for the end keeps a single process busy while the
# others wait. Of the first four, one alone needs the shared smoke campaign, which takes a minute.
LONG = (
    "slurm/test_batch.py",
    "campaign/test_driver.py",
    "campaign/test_resume.py",
    "stages/test_train.py",
    "slurm/test_campaign_job.py",
    "integration/test_chaos.py",
    "campaign/test_set_driver.py",
    # Early, because it forks hundreds of times, and processes grow.
    "fuzz",
    "docs/test_commands.py",
    "test_cli.py",
    "campaign/test_damage.py",
    "stages/test_core_seconds.py",
    "stages/test_sample.py",
    "slurm",
    "integration",
    "experiments",
    "browse/page",
    "voxels/test_learned.py",
    "test_wheel.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """What is slow stays out, whatever else ``-m`` asks for, unless it names slow or physics."""
    asked = config.option.markexpr
    if "slow" not in asked and "physics" not in asked:
        quick = "not slow and not physics"
        config.option.markexpr = f"({asked}) and {quick}" if asked else quick


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, all others in their order."""

    def rank(item: pytest.Item) -> int:
        path = item.path.relative_to(Path(__file__).parent).as_posix()
        return next(
            (number for number, start in enumerate(LONG) if path.startswith(start)), len(LONG)
        )

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """What is there before the first test outlives all tests: collections of garbage pass it by."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests of GPUs are skipped where torch finds none."""
    if item.get_closest_marker("gpu") is not None:
        import torch  # late, because few tests need it

        if not torch.cuda.is_available():
            pytest.skip("torch finds no GPU on this machine")


@pytest.fixture(autouse=True)
def _no_hdf5_file_stays_open():
    before = _num_open_files()
    yield
    left = _num_open_files() - before
    if left > 0:
        # Objects that refer to each other in a circle are freed at some later time.
        gc.collect()
        left = _num_open_files() - before
    # A server that outlives the test may still read a structure that its page asked for.
    until = time.monotonic() + 10
    while left > 0 and time.monotonic() < until:
        time.sleep(0.05)
        left = _num_open_files() - before
    assert left <= 0, f"the test left {left} HDF5 files open"


def _num_open_files() -> int:
    if "h5py" not in sys.modules:
        return 0
    from h5py import h5f

    return h5f.get_obj_count(h5f.OBJ_ALL, h5f.OBJ_FILE)


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_in_the_cache_folder_of_the_user(tmp_path_factory):
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """The small smoke campaign, finished, as all tests of a session share it."""
    # Not before the number of threads is set.
    from tests.smoke import shared_smoke

    return shared_smoke(tmp_path_factory)


@pytest.fixture(scope="session")
def small_search(tmp_path_factory):
    """The finished search of six tries, as all tests of a session share it."""
    from tests.smoke import shared_search  # as above

    return shared_search(tmp_path_factory)
