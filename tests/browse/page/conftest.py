"""A run of 60 candidates, its page on a free port."""

import socket
import threading
from contextlib import contextmanager, suppress

import numpy as np
import pytest

from gcd_hpc.browse.page.contents import Contents
from gcd_hpc.browse.page.server import PageServer
from gcd_hpc.store.parts import write_part
from tests.store.synthetic import CONFIG, make_candidate

BEST = "model-01-000007"


def made(index, source, version, status="ok", **more):
    """A bicrystal of 31 to 39 random atoms; every tenth of a source failed."""
    rng = np.random.default_rng(index)
    num_atoms = 30 + index % 10
    if index % 10 == 9 and "gb_energy_j_m2" not in more:
        status, more = (
            "failed",
            {"reason": "expected finite energies, got nan", "failure": "physics"},
        )
    else:
        energy = 2.6 + 0.1 * (index % 10) + 0.003 * index + (0.01 if source == "search" else 0.0)
        positions = rng.uniform((0, 0, 0), (10, 10, 50), (num_atoms, 3))
        more = {
            "gb_energy_j_m2": energy,
            "positions": positions,
            "excess_volume_a": 0.3 + 0.01 * index,
            **more,
        }
    return make_candidate(
        index, source, version, num_atoms, status, sample_s=0.5, relax_s=1.5, **more
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = tmp_path_factory.mktemp("page") / "run"
    for source, version, where in (
        ("search", 0, "search"),
        ("model", 1, "model-01/relaxed"),
        ("model", 2, "model-02/relaxed"),
    ):
        candidates = [made(index, source, version) for index in range(20)]
        if version == 1:
            candidates[7] = made(7, source, version, gb_energy_j_m2=2.297)
        write_part(run / f"parts/{where}/part-00000.h5", candidates, {"config": CONFIG})
    return run


class EndingServer(PageServer):
    """A page whose end closes its connections, which browsers keep open for the next request, and
    waits for the answers that are under way.
    """

    daemon_threads = False

    def __init__(self, run):
        self.connections = []
        super().__init__(run)

    def process_request(self, request, client_address):
        self.connections.append(request)
        super().process_request(request, client_address)

    def server_close(self):
        for connection in self.connections:
            with suppress(OSError):  # closed by now
                connection.shutdown(socket.SHUT_RD)
        super().server_close()


@contextmanager
def serving(run):
    """The page of a run, while the block lasts; no request is left unanswered after it."""
    with EndingServer(run) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def served(run):
    with serving(run) as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    """Chromium, one for each file of tests."""
    # Most tests of the page do without playwright.
    from playwright.sync_api import sync_playwright

    from tests.browse.page.browsing import FLAGS

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def contents(run):
    return Contents(run)
