"""Take the pictures of the dashboard that the README and its page show, in a real Chromium.

    python -m benchmarks.production_month --config FOLDER/config.yaml
    python -m benchmarks.dashboard_pictures --project FOLDER --output docs/images

Drift shows thirty days, so the folder needs a month of production. Some requests are answered first. With
`--all FOLDER` every page is taken as well, 1400 and 390 pixels wide, light and dark, to be looked at.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import tempfile
import time
from pathlib import Path

import httpx
from PIL import Image
from tests.deployment.browser import Browser, chromium

from benchmarks.servers import read_rows, service
from tabloop.config.loading import load_project

PAGES = ("now", "drift", "performance", "decisions", "runs", "try-it", "streams")
#: Name, width and height of each picture that is kept.
_KEPT = {"now": (930, 900), "drift": (930, 1070)}
_REQUESTS = 400


def show(browser: Browser, url: str, page: str, width: int, height: int, *, dark: bool = False) -> None:
    """Open a page and wait until it has what it asked for."""
    browser.resize(width, height)
    browser.emulate(dark=dark)
    browser.open("about:blank")
    browser.open(f"{url}/#/{page}")
    browser.wait_for(
        "const text = document.querySelector('main')?.innerText ?? '';"
        "return document.querySelector('main h1') && !/Asking the service|Loading/.test(text)"
    )
    time.sleep(0.3)


def keep(picture: bytes, path: Path) -> None:
    """Write a picture in 128 colours: a third of the bytes, and nothing to be seen of it."""
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(128).save(path, optimize=True)


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--all", type=Path, help="a folder for every page in four views")
    options = parser.parse_args()
    project = load_project(options.project / "config.yaml")
    rows = read_rows(project, options.project / "data" / "ml_datasource.csv")
    with contextlib.ExitStack() as running:
        server = running.enter_context(service(options.project, "pictures", with_log=True))
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        browser = running.enter_context(chromium(folder))
        url = f"http://127.0.0.1:{server.port}"
        with httpx.Client(base_url=url, timeout=60) as client:
            for row in rows[:_REQUESTS]:
                client.post("/predict", content=json.dumps(row), headers={"content-type": "application/json"})
                time.sleep(0.02)
            until = time.monotonic() + 120
            while client.get("/monitoring/performance").status_code != 200 and time.monotonic() < until:
                time.sleep(0.5)
        for page, (width, height) in _KEPT.items():
            show(browser, url, page, width, height)
            keep(browser.screenshot(), options.output / f"dashboard-{page}.png")
        if options.all is not None:
            options.all.mkdir(parents=True, exist_ok=True)
            for page in PAGES:
                for width in (1400, 390):
                    for dark in (False, True):
                        show(browser, url, page, width, 1600, dark=dark)
                        name = f"{page}-{width}-{'dark' if dark else 'light'}.png"
                        shutil.copyfileobj(io.BytesIO(browser.screenshot()), (options.all / name).open("wb"))


if __name__ == "__main__":
    main()
