"""Pictures of the page and of the report: ``python docs/draw_page.py RUN`` writes
docs/figures/browse.png and report.png.
"""

import sys
import tempfile
import threading
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from gcd_hpc.browse.page.server import PageServer
from gcd_hpc.browse.report.writing import write_reports

FIGURES = Path(__file__).parent / "figures"
FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"]


def picture(browser: Browser, address: str, path: Path, height: int) -> None:
    """The page when it is ready."""
    page = browser.new_page(viewport={"width": 1440, "height": height})
    page.set_default_timeout(60_000)
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    page.wait_for_timeout(1500)
    page.mouse.move(0, 0)
    page.screenshot(path=path)
    page.close()


def main() -> None:
    """Draw both."""
    run = Path(sys.argv[1])
    with (
        sync_playwright() as playwright,
        PageServer(run) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        picture(browser, server.url, FIGURES / "browse.png", 1080)
        (report,) = write_reports(run, Path(folder) / "report.html", None)
        page = browser.new_page(viewport={"width": 1000, "height": 1500})
        page.goto(report.as_uri())
        page.screenshot(path=FIGURES / "report.png")
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
