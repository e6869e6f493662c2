"""A real Chromium, driven through ChromeDriver by the W3C WebDriver protocol: a dozen lines over HTTP."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deployment.real_server import PLAIN

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1200,1700",
)  # fmt: skip

#: What has to have a name, by its role in the tree that screen readers are given.
_NAMED = {
    "button", "link", "textbox", "searchbox", "combobox", "checkbox", "spinbutton", "image", "table", "region",
    "navigation", "heading", "columnheader", "log", "DateTime",
}  # fmt: skip


class Browser:
    """One window."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def open(self, url: str) -> None:
        self._post("/url", url=url)

    def run(self, script: str) -> Any:
        """Run JavaScript in the page; give what it returns."""
        return self._post("/execute/sync", script=script, args=[])

    def wait_for(self, script: str, *, timeout_s: float = 20.0) -> Any:
        """Run JavaScript again and again until it returns something true."""
        until = time.monotonic() + timeout_s
        while not (found := self.run(script)):
            assert time.monotonic() < until, (
                f"the page did not come to: {script}\n{self.run('return document.body.innerText')}"
            )
            time.sleep(0.05)
        return found

    def resize(self, width: int, height: int) -> None:
        """Show the page as in a window of that many pixels, a phone's too."""
        self._post("/goog/cdp/execute", cmd="Emulation.setDeviceMetricsOverride",
                   params={"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})  # fmt: skip

    def emulate(self, *, dark: bool) -> None:
        """Show the page as whoever prefers a dark screen sees it, or a light one; without scroll bars."""
        self._post("/goog/cdp/execute", cmd="Emulation.setScrollbarsHidden", params={"hidden": True})
        wanted = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._post("/goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params={"features": wanted})

    def screenshot(self) -> bytes:
        answer = self._client.get("/screenshot").raise_for_status()
        return base64.b64decode(answer.json()["value"])

    def console_errors(self) -> list[str]:
        """What the page complained about."""
        found = self._post("/se/log", type="browser")
        return [entry["message"] for entry in found if entry["level"] == "SEVERE"]

    def unnamed(self) -> list[str]:
        """Give the roles of what a screen reader meets on the page and cannot call by a name."""
        tree = self._post("/goog/cdp/execute", cmd="Accessibility.getFullAXTree", params={})["nodes"]
        met = [
            (node["role"]["value"], node.get("name", {}).get("value")) for node in tree if not node["ignored"]
        ]
        assert {"main", "navigation", "heading", "link"} <= {role for role, _ in met}
        return [role for role, name in met if role in _NAMED and not name]

    def press(self, key: str, code: int) -> None:
        """Press a key of the keyboard, such as `Tab` (9)."""
        for kind in ("keyDown", "keyUp"):
            self._post("/goog/cdp/execute", cmd="Input.dispatchKeyEvent",
                       params={"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code})  # fmt: skip

    def _post(self, path: str, **body: Any) -> Any:
        answer = self._client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]


@contextlib.contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """Start a browser; skip where there is none, fail where it has to be there."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        if os.environ.get("TABLOOP_REQUIRE_SERVICES") == "1":
            pytest.fail("chromium and chromedriver are not installed")
        pytest.skip("chromium and chromedriver are not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "chromedriver.log").open("wb") as log:
        process = subprocess.Popen([driver, f"--port={port}"], stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, verify=PLAIN) as client:
            _wait_for_driver(client)
            options = {"binary": program, "args": [*_FLAGS, f"--user-data-dir={folder / 'profile'}"]}
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            answer = client.post("/session", json={"capabilities": {"alwaysMatch": wanted}})
            assert answer.status_code == 200, answer.text
            session = f"/session/{answer.json()['value']['sessionId']}"
            try:
                client.base_url = client.base_url.join(session)
                yield Browser(client)
            finally:
                # without a slash at its end, which httpx would add; a browser that is not told stays
                closed = client.delete(str(client.base_url).rstrip("/"))
                assert closed.status_code == 200, closed.text
    finally:
        process.terminate()
        process.wait(20)


def _wait_for_driver(client: httpx.Client) -> None:
    for _ in range(200):
        with contextlib.suppress(httpx.TransportError):
            if client.get("/status").json()["value"]["ready"]:
                return
        time.sleep(0.05)
    raise AssertionError("chromedriver did not start")
