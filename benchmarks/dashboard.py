"""Measure `/predict` at 16 connections with three dashboards open, beside the same without.

    python -m benchmarks.dashboard --project FOLDER     # config.yaml and a champion; best with a month

A dashboard asks what its page Now asks, as often as it does and with the same headers: overview and health
every five seconds, traffic and windows every thirty. The three are a process of their own, as browsers are,
whose clock stands still while none is open. Short loads with and without take turns, A B B A, on one
service. Four of them give one ratio; told is the median of these with its 95% interval (by order
statistics), and beside it the processor time that each process of the service took a request, which hardly
depends on what else runs; the median of the turns as well, since every half minute the monitor makes
estimates that belong to neither side. `--dashboards 300` shows how that grows. The month of history is made
by `benchmarks.production_month`. It also tells how long the answers take that open a page on 30 days.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import select
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import methodcaller
from pathlib import Path

import httpx
from scipy import stats

from benchmarks.http_load import closed_loop, post
from benchmarks.servers import Server, children, cpu_s, read_rows, service
from tabloop.config.loading import load_project

#: What the page Now asks by the clock, and every how many seconds: `deployment/dashboard/now.js`.
_NOW = {
    "/monitoring/overview": 5.0,
    "/health": 5.0,
    "/monitoring/traffic?hours=24&periods=96": 30.0,
    "/monitoring/windows?hours=24&periods=60": 30.0,
}
_MONTH = (
    "/monitoring/overview",
    "/monitoring/traffic?hours=720&periods=96",
    "/monitoring/windows?hours=720&periods=48",
    "/monitoring/performance?hours=720&periods=120",
    "/predictions?limit=25",
    "/runs",
)
_SETTLE_S = 10.0


class Dashboards:
    """Pages that are open now and then, in a process of their own."""

    def __init__(self, port: int, number: int) -> None:
        command = [sys.executable, "-m", "benchmarks.dashboard", "--pages", str(number), "--port", str(port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._tell("")

    def _tell(self, word: str) -> str:
        """Say a word, and wait until it is heard."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if word:
            print(word, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Have them open."""
        self._tell("open")
        yield
        self._tell("close")

    def end(self) -> str:
        """End the process; say how many answers it got."""
        answers = self._tell("end")
        self._process.wait()
        return answers


def show_pages(number: int, port: int) -> None:
    """Be the dashboards: ask while they are open, as told on standard input."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    # each page began at another moment of the five seconds
    due = sorted(
        (page * 5.0 / number + (every_s - 5.0) * page / number, every_s, path)
        for page in range(number)
        for path, every_s in _NOW.items()
    )
    clock_s, is_open = 0.0, False
    statuses: Counter[int] = Counter()
    print("ready", flush=True)
    looked = time.perf_counter()
    while True:
        if select.select([sys.stdin], [], [], 0.02)[0]:
            word = sys.stdin.readline().strip()
            if word == "end":
                said = ", ".join(f"{n} of {status}" for status, n in sorted(statuses.items()))
                print(said, flush=True)
                return
            is_open = word == "open"
            print("heard", flush=True)
        moment = time.perf_counter()
        clock_s += moment - looked if is_open else 0.0
        looked = moment
        while is_open and due[0][0] <= clock_s:
            at_s, every_s, path = due.pop(0)
            connection.request("GET", path, headers={"Cache-Control": f"max-age={every_s:.0f}"})
            answer = connection.getresponse()
            answer.read()
            statuses[answer.status] += 1
            due = sorted([*due, (at_s + every_s, every_s, path)])


@dataclass
class Side:
    """What was measured with dashboards, or without: seconds, answers, processor time by process."""

    seconds: float = 0.0
    answers: int = 0
    cpu_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def of(self, name: str) -> float:
        """Give the processor time a request, in microseconds, of one process or of `all`."""
        used_s = sum(self.cpu_s.values()) if name == "all" else self.cpu_s[name]
        return used_s / self.answers * 1e6


def median_with_interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Give the median, and the ends of an interval that holds it with 95% confidence, by order statistics.

    Examples
    --------
    >>> median_with_interval([0.95, 0.96, 0.97, 0.98, 0.99, 1.0, 1.01])
    (0.98, 0.95, 1.01)
    """
    ordered = sorted(ratios)
    place = max(0, int(stats.binom.ppf(0.025, len(ordered), 0.5)) - 1)
    return statistics.median(ordered), ordered[place], ordered[-1 - place]


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--project", type=Path)
    parser.add_argument("--dashboards", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="length of one load")
    parser.add_argument("--repeats", type=int, default=30, help="times four loads, A B B A")
    parser.add_argument("--pages", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pages is not None:
        show_pages(options.pages, options.port)
        return
    if options.project is None:
        parser.error("--project FOLDER is needed")
    project = load_project(options.project / "config.yaml")
    rows = read_rows(project, options.project / "data" / "ml_datasource.csv")
    requests = [post("/predict", json.dumps(row).encode()) for row in rows]
    with service(options.project, "tabloop") as server:
        _tell_openings(f"http://127.0.0.1:{server.port}")
        closed_loop(server.port, requests, connections=16, seconds=3 * options.seconds)
        time.sleep(_SETTLE_S)
        _compare(server, requests, options.dashboards, options.repeats, options.seconds)


def _compare(
    server: Server, requests: Sequence[bytes], dashboards: int, repeats: int, seconds: float
) -> None:
    pids = {"supervisor": server.pid, **children(server.pid)}
    pages = Dashboards(server.port, dashboards)
    turns = []
    for turn in range(repeats):
        sides = {False: Side(), True: Side()}
        for watched in (False, True, True, False) if turn % 2 == 0 else (True, False, False, True):
            before = {name: cpu_s(pid) for name, pid in pids.items()}
            with pages.opened() if watched else contextlib.nullcontext():
                load = closed_loop(server.port, requests, connections=16, seconds=seconds)
            side = sides[watched]
            side.seconds += load.seconds
            side.answers += len(load.latencies_s)
            for name, pid in pids.items():
                side.cpu_s[name] += cpu_s(pid) - before[name]
        turns.append(sides)
    asked = pages.end()

    def middle(watched: bool, of: Callable[[Side], float]) -> float:
        return statistics.median(of(sides[watched]) for sides in turns)

    def per_s(side: Side) -> float:
        return side.answers / side.seconds

    median, low, high = median_with_interval([per_s(sides[True]) / per_s(sides[False]) for sides in turns])
    print(f"\nwithout {middle(False, per_s):,.0f} requests/s, ", end="")
    print(f"with {dashboards} dashboards {middle(True, per_s):,.0f}/s")
    print(f"ratio {median:.3f}, 95% interval {low:.3f} to {high:.3f}, of {repeats} times A B B A")
    print(f"\n{'processor time':<16}{'without':>14}{'with':>14}{'ratio':>8}")
    for name in (*pids, "all"):
        then, now = (middle(watched, methodcaller("of", name)) for watched in (False, True))
        print(f"{name:<16}{then:>11.2f} us{now:>11.2f} us{now / then if then else 1.0:>8.3f}")
    watched_s = sum(sides[True].seconds for sides in turns)
    print(f"\nanswers to the dashboards in {watched_s:.0f} s: {asked}; ", end="")
    print(f"load average {os.getloadavg()[0]:.1f}")


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
