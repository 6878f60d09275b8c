"""The page of a million candidates: how long a reader waits for the first page, a filter, a sort, a
structure, a download; and the memory.

    OMP_NUM_THREADS=1 python benchmarks/browse.py FOLDER [--parts 1000] [--rows 1000]
    OMP_NUM_THREADS=1 python benchmarks/browse.py FOLDER --file RUN

Uses the run in FOLDER/run, or makes it there with the generator of benchmarks/store.py. The server
is ``gcd-hpc browse`` itself; what the page asks for at once is asked for at once here. A row of the
table is the slowest of three servers, each asked for the first time. With --file: the size of the
page of a real run as one file, and how long headless Chromium takes to show it, without a graphics
card.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import store as generator

from gcd_hpc.store.index import RunStore
from gcd_hpc.store.run import open_run

SELECTIONS = (
    "source=model",
    "status=failed",
    "n=0.2069",
    "energy<2.4",
    "source=model version=3 energy<2.5",
    "preset=paper converged=true",
)
SORTS = ("gb_energy_j_m2", "id", "source", "status", "n_fraction", "reason", "excess_volume_a")


def get(url: str) -> bytes:
    """The whole answer."""
    with urlopen(url, timeout=60) as answer:
        return answer.read()


def shown(url: str, select: str = "", sort: str = "energy", descending: bool = False) -> list[list]:
    """What the page asks for when the filter or the sort changes; the rows of the table."""
    rows = urlencode(
        {
            "select": select,
            "sort": sort,
            "descending": str(descending).lower(),
            "first": 0,
            "num": 50,
        }
    )
    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(
            get, [f"{url}api/rows?{rows}", f"{url}api/points?{urlencode({'select': select})}"]
        )
        return json.loads(next(answers))["rows"]


def first_page(url: str) -> None:
    """What the page asks for when it is opened, the structure of the lowest energy included."""
    best = json.loads(get(f"{url}api/state"))["best"][0]
    shown(url)
    get(f"{url}api/structure?id={best}")


def memory_mb(pid: int) -> float:
    """The most that a process has ever held."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def measure(run: Path) -> tuple[dict[str, float], float]:
    """Seconds by what was asked for, and megabytes, of one server."""
    line = [sys.executable, "-m", "gcd_hpc.cli", "browse", str(run), "--no-open"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as server:
        started = time.perf_counter()
        url = server.stdout.readline().strip()
        seconds = {
            "start of `gcd-hpc browse` until its address is printed": time.perf_counter() - started
        }

        def timed(what: str, work, *details) -> None:
            started = time.perf_counter()
            work(*details)
            seconds[what] = time.perf_counter() - started

        try:
            timed("first page: counts, table, map, structure of the lowest energy", first_page, url)
            for select in SELECTIONS:
                timed(f"filter `{select}`", shown, url, select)
            for sort in SORTS:
                timed(f"sort by `{sort}`", shown, url, "", sort, True)
            name = shown(url, "status=ok", "id")[0][0]
            timed("another structure", get, f"{url}api/structure?id={name}")
            timed("the same page of the same filter again", shown, url, "status=ok", "id")
            timed("is there anything new?", get, f"{url}api/version")
            timed("download of one row as csv", get, f"{url}api/download?form=csv&id={name}")
            return seconds, memory_mb(server.pid)
        finally:
            server.terminate()


MARKS = """
new MutationObserver(() => {
  if (!window.mapAt && document.querySelector("#map circle")) window.mapAt = performance.now();
  if (window.readyAt || !document.body || !document.body.dataset.ready) return;
  window.readyAt = performance.now();
}).observe(
  document,
  { childList: true, subtree: true, attributes: true, attributeFilter: ["data-ready"] },
);
"""


def measure_file(run: Path, folder: Path) -> Iterator[str]:
    """Size and times of the page as one file: until map and table are there, and until the
    structure of the lowest energy is.
    """
    from playwright.sync_api import sync_playwright

    from gcd_hpc.browse.page.standalone import write_page

    started = time.perf_counter()
    path = write_page(run, folder / "page.html").resolve()
    yield (
        f"written in {time.perf_counter() - started:.1f} s, {path.stat().st_size / 1e6:.1f} MB\n\n|"
        " map, s | structure, s |\n|--:|--:|"
    )
    with sync_playwright() as playwright:
        for _ in range(5):
            flags = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"]
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
            page = browser.new_page(viewport={"width": 1440, "height": 1000})
            page.add_init_script(MARKS)
            page.goto(path.as_uri())
            page.wait_for_selector("body[data-ready]")
            yield "| {:.2f} | {:.2f} |".format(
                *(mark / 1000 for mark in page.evaluate("[mapAt, readyAt]"))
            )
            browser.close()


def main() -> None:
    """Make the run if it is not there, measure, print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument(
        "--file", type=Path, metavar="RUN", help="measure the page of this run as one file instead"
    )
    asked = parser.parse_args()
    if asked.file:
        for line in measure_file(asked.file, asked.folder):
            print(line, flush=True)
        return
    run = asked.folder / "run"
    if not run.exists():
        generator.write_run(run, asked.parts, asked.rows)
    RunStore(run).build_index()
    slowest: dict[str, float] = defaultdict(float)
    most_mb = 0.0
    for _ in range(3):
        seconds, mb = measure(run)
        most_mb = max(most_mb, mb)
        for what, value in seconds.items():
            slowest[what] = max(slowest[what], value)
    print(
        f"{len(open_run(run).columns(['version'])['version']):,} rows; at most {most_mb:.0f}"
        " MB\n\n| what | s |\n|---|--:|"
    )
    for what, value in slowest.items():
        print(f"| {what} | {value:.2f} |")


if __name__ == "__main__":
    main()
