"""Pictures of the page and of the report: ``python docs/draw_page.py RUN`` writes
docs/figures/browse.png and report.png.
"""

import sys
import tempfile
import threading
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from gcd_hpc.browse.page.server import PageServer
from gcd_hpc.browse.page.standalone import write_page

FIGURES = Path(__file__).parent / "figures"
FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"]


def picture(browser: Browser, address: str, path: Path, height: int, *clicks: str) -> None:
    """The page when it is ready and all was clicked that is to be."""
    page = browser.new_page(viewport={"width": 1440, "height": height})
    page.set_default_timeout(60_000)
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    for selector in clicks:
        page.click(selector)
    if "#tab-progress" in clicks:
        page.wait_for_selector("#figure-egb-n :nth-child(2)")
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
        report = write_page(run, Path(folder) / "report.html")
        picture(browser, report.as_uri(), FIGURES / "report.png", 1240, "#tab-progress")
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
