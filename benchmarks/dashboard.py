"""Measure `/predict` at 16 connections with three dashboards open, beside the same without.

    python -m benchmarks.dashboard --project FOLDER     # config.yaml and a champion; best with a month

A dashboard asks what its page Now asks, as often as it does: overview, health, traffic and windows every
five seconds. With and without take turns on one service; what counts is the ratio. The month of history is
made by `benchmarks.production_month`. It also tells how long the answers take that open a page on 30 days.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import threading
import time
from pathlib import Path

import httpx

from benchmarks.http_load import closed_loop, post
from benchmarks.servers import read_rows, service
from tabloop.config.loading import load_project

_NOW = (
    "/monitoring/overview",
    "/health",
    "/monitoring/traffic?hours=24&periods=96",
    "/monitoring/windows?hours=24&periods=60",
)
_MONTH = (
    "/monitoring/overview",
    "/monitoring/traffic?hours=720&periods=96",
    "/monitoring/windows?hours=720&periods=48",
    "/monitoring/performance?hours=720&periods=120",
    "/predictions?limit=25",
    "/runs",
)
_EVERY_S = 5.0


class Dashboards:
    """Pages that are open: each asks in a thread of its own."""

    def __init__(self, url: str, number: int) -> None:
        self._url = url
        self._closed = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(place * _EVERY_S / number,)) for place in range(number)
        ]

    def _ask(self, begin_s: float) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            self._closed.wait(begin_s)
            while not self._closed.is_set():
                for path in _NOW:
                    client.get(path)
                self._closed.wait(_EVERY_S)

    def __enter__(self) -> Dashboards:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        for thread in self._threads:
            thread.join()


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of one load")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    project = load_project(options.project / "config.yaml")
    rows = read_rows(project, options.project / "data" / "ml_datasource.csv")
    requests = [post("/predict", json.dumps(row).encode()) for row in rows]
    ratios = []
    with service(options.project, "tabloop") as server:
        url = f"http://127.0.0.1:{server.port}"
        _tell_openings(url)
        for turn in range(options.repeats):
            rates = {}
            for watched in (False, True) if turn % 2 == 0 else (True, False):
                with Dashboards(url, 3 if watched else 0):
                    load = closed_loop(server.port, requests, connections=16, seconds=options.seconds)
                rates[watched] = load.per_s
            ratios.append(rates[True] / rates[False])
            print(
                f"without {rates[False]:,.0f}/s, with three dashboards {rates[True]:,.0f}/s: {ratios[-1]:.3f}"
            )
    print(f"median {statistics.median(ratios):.3f}; load average {os.getloadavg()[0]:.1f}")


def _tell_openings(url: str) -> None:
    with httpx.Client(base_url=url, timeout=60) as client:
        until = time.monotonic() + 60
        while client.get("/monitoring/performance").status_code != 200 and time.monotonic() < until:
            time.sleep(0.5)
        for path in _MONTH:
            began = time.perf_counter()
            answer = client.get(path)
            took_ms = (time.perf_counter() - began) * 1e3
            print(f"{path}: {answer.status_code} in {took_ms:.0f} ms, {len(answer.content) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
