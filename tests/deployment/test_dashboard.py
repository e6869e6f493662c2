"""The dashboard at /, in a real browser: with data and without, with strangers' names, with keys."""

from __future__ import annotations

import contextlib
import http.server
import importlib.util
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from benchmarks.production_month import fill_month

from tests.conftest import SharedFolders, Workspace, make_workspace
from tests.deployment.browser import Browser, chromium
from tests.deployment.real_server import PLAIN, Server, copy_of, serving, wait_until

READ, ALL = "r" * 20, "a" * 20
KEYS = {"DASHBOARD_KEYS": f"read {READ}\npredict,read,operate {ALL}\n"}
PAGES = ("now", "drift", "performance", "decisions", "runs", "try-it", "streams")
#: What strangers may call a category: markup, another direction, one that turns the text around, one without end.
NAMES = [
    "<script>window.stolen = 1</script>",
    '"><img src=x onerror="window.stolen = 2">',
    "שלום עולם",
    "\u202eevil\u202d",
    "x" * 10_000,
]


@pytest.fixture(scope="module")
def strange(shared_folders: SharedFolders, students: pl.DataFrame) -> Workspace:
    """A workspace with a champion whose categories strangers named."""

    def fill(folder: Path) -> None:
        # most rows have the first name, so that it is a segment
        named = pl.Series([NAMES[place % len(NAMES) if place % 7 > 4 else 0] for place in range(900)])
        made = make_workspace(folder, students.head(900).with_columns(named.alias("student_country")))
        settings = made.settings()
        columns = settings["contract"]["columns"]
        columns["student_country"] = {"type": "category", "open": True, "max_length": 20_000}
        settings["training"]["candidates"] = {"decision_tree": {"max_depth": 3}}
        made.change(
            contract={"columns": columns},
            training={"candidates": {"decision_tree": {"max_depth": 3}}},
            preprocessing={"min_category_rows": 10},
            monitoring={"test_window_rows": 100, "drift_min_samples": 50, "segments": ["student_country"]},
        )
        outcome = made.run("run", "--json")
        assert outcome.code == 0, outcome.err

    return Workspace(shared_folders.made_once("strange", fill))


@pytest.fixture(scope="module")
def busy(strange: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two workers, keys, and 450 answered rows of which the latest moved."""
    workspace = copy_of(strange, tmp_path_factory.mktemp("busy") / "project")
    setting = ("--set", "serving.api_keys_env=DASHBOARD_KEYS", "--workers", "2")
    with serving(workspace, *setting, environ=KEYS) as running:
        running.client.headers["authorization"] = f"Bearer {ALL}"
        wait_until(lambda: running.client.get("/monitoring/performance").status_code == 200)
        rows = pl.read_csv(workspace.folder / "data" / "ml_datasource.csv").drop("purchased")
        moved = rows.with_columns(pl.col("minutes_watched") + 300.0)
        for part in (rows.head(200), moved.head(250)):
            answer = running.client.post("/batch_predict", json={"records": part.to_dicts()})
            assert answer.status_code == 200, answer.text
        outcomes = [
            {"prediction_id": each["prediction_id"], "label": place % 2}
            for place, each in enumerate(answer.json()["predictions"][:120])
        ]
        assert running.client.post("/feedback", json={"outcomes": outcomes}).json()["accepted"] == 120
        wait_until(lambda: running.client.get("/monitoring/windows").json()["periods"] != [])
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def axe() -> str | None:
    """axe-core, which comes with a wheel that only these tests need; without it they look at the rest."""
    found = importlib.util.find_spec("axe_core_python")
    if found is None or found.origin is None:
        if os.environ.get("TABLOOP_REQUIRE_SERVICES") == "1":
            pytest.fail("axe-core-python is not installed")
        return None
    return Path(found.origin).with_name("axe.min.js").read_text()


@dataclass
class Dashboard:
    """The page in the browser."""

    browser: Browser
    server: Server

    def open(self, page: str) -> None:
        self.browser.open(f"{self.server.url}/#/{page}")
        self.settle()

    def settle(self) -> None:
        self.browser.wait_for(
            "const text = document.querySelector('main').innerText;"
            "return document.querySelector('main h1') && !/Asking the service|Loading/.test(text)"
        )

    def sign_in(self, key: str) -> None:
        self.browser.wait_for("return document.getElementById('key')")
        self.browser.run(
            f"document.getElementById('key').value = {json.dumps(key)};"
            "document.querySelector('form').requestSubmit()"
        )
        self.browser.wait_for(
            "return document.querySelector('main h1')?.innerText !== 'Sign in' || document.querySelector('.bad')"
        )

    def text(self) -> str:
        return str(self.browser.run("return document.querySelector('main').innerText"))

    def check(self) -> None:
        """Nothing was fetched from elsewhere, run by a stranger, or complained about."""
        fetched = self.browser.run("return performance.getEntriesByType('resource').map(entry => entry.name)")
        assert fetched
        assert all(name.startswith(self.server.url) for name in fetched), fetched
        assert self.browser.run("return window.stolen === undefined")
        assert self.browser.run("return [...document.querySelectorAll('script')].every(s => s.src)")
        assert self.browser.console_errors() == []

    def check_tab_order(self, page: str) -> None:
        """Tab walks from the skip link over everything that acts, in the order of the page, in plain sight."""
        self.browser.run("document.activeElement.blur(); document.getElementById('skip').focus()")
        last = -1
        for _ in range(14):
            self.browser.press("Tab", 9)
            place, ring = self.browser.run(
                "const all = [...document.querySelectorAll('*')]; const at = document.activeElement;"
                "const { outlineStyle, outlineWidth } = getComputedStyle(at);"
                "const inside = at.matches('[type=datetime-local]');"
                "return [at === document.body ? -1 : all.indexOf(at), inside || (outlineStyle !== 'none' && outlineWidth !== '0px')]"
            )
            if place < 0:
                return  # behind the last one
            assert place >= last, page
            assert ring, page
            last = place

    def violations(self, axe: str | None) -> list[Any]:
        if axe is None:
            return []
        if self.browser.run("return window.axe === undefined"):
            self.browser.run(
                axe
            )  # half a megabyte, once for all that is shown without loading the page again
        self.browser.run(
            "window.found = null; axe.run(document, {resultTypes: ['violations']}).then(found => {"
            "window.found = found.violations.filter(v => ['serious', 'critical'].includes(v.impact))"
            ".map(v => [v.id, v.nodes.map(n => n.html.slice(0, 200))])})"
        )
        return list(self.browser.wait_for("return window.found && {list: window.found}")["list"])


@contextlib.contextmanager
def behind_prefix(server: Server, prefix: str) -> Iterator[str]:
    """A proxy that serves a service under a path and takes that path away."""

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404)
                return
            answer = httpx.get(server.url + self.path.removeprefix(prefix), timeout=30, verify=PLAIN)
            self.send_response(answer.status_code)
            for name in ("content-type", "content-security-policy"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}"
        finally:
            proxy.shutdown()
            thread.join()


def test_pages_of_strangers_names_with_keys_and_two_workers(
    busy: Server, browser: Browser, axe: str | None
) -> None:
    seen = Dashboard(browser, busy)
    seen.browser.open(busy.url)
    seen.sign_in("n" * 20)
    assert "the key is unknown" in seen.text()
    assert all("401" in error for error in browser.console_errors())  # the browser tells of that itself
    seen.sign_in(ALL)
    kept = "return document.cookie + Object.keys(localStorage) + Object.keys(sessionStorage) + location.href"
    assert ALL not in browser.run(kept)
    for page in PAGES:
        for width in (1400, 390):
            browser.resize(width, 1000)
            browser.run(f"location.hash = '#/{page}'")
            browser.wait_for(f"return document.querySelector('nav a[aria-current]').hash === '#/{page}'")
            seen.settle()
            assert browser.run("return document.documentElement.scrollWidth") <= width, (page, width)
            assert seen.violations(axe) == [], page
        seen.check()
        assert browser.unnamed() == [], page
        seen.check_tab_order(page)
    browser.run("document.querySelector('#session button').click()")
    assert browser.wait_for("return document.getElementById('key')")
    assert "minutes_watched" not in seen.text()


def test_a_feature_is_shown_beside_the_training_rows(busy: Server, browser: Browser, axe: str | None) -> None:
    seen = Dashboard(browser, busy)
    browser.resize(1400, 1000)
    browser.open(f"{busy.url}/#/drift")
    seen.sign_in(READ)
    seen.settle()
    alarmed = "return [...document.querySelectorAll('.heat tr')].filter(r => r.querySelector('[data-level=alarm]')).map(r => r.innerText)"
    assert any("minutes_watched" in line for line in browser.run(alarmed))
    for name in ("minutes_watched", "student_country"):
        browser.run(
            f"[...document.querySelectorAll('.heat button')].find(b => b.innerText === '{name}').click()"
        )
        browser.wait_for(
            f"return document.getElementById('feature')?.innerText === '{name}' && document.querySelector('figure svg')"
        )
        seen.settle()
        assert "All tests in the latest window" in seen.text()
    assert "שלום" in seen.text()
    assert "\\u202eevil" in seen.text()
    segments = "[...document.querySelectorAll('.heat')][1]"
    assert "<script>" in browser.run(f"return {segments}.querySelector('tbody').innerText")
    # Escape closes, and goes back to where it was opened
    browser.run(f"const one = {segments}.querySelector('button'); one.focus(); one.click()")
    browser.wait_for("return document.activeElement.id === 'feature'")
    browser.run(
        "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}))"
    )
    assert browser.run(f"return document.activeElement === {segments}.querySelector('button')")
    assert browser.run("return document.getElementById('feature') === null")
    assert "x" * 700 not in browser.run("return document.documentElement.outerHTML")
    assert seen.violations(axe) == []
    seen.check()


def test_pages_without_data(trained: Workspace, browser: Browser, tmp_path: Path) -> None:
    with serving(copy_of(trained, tmp_path / "project")) as server:
        seen = Dashboard(browser, server)
        wait_until(lambda: server.client.get("/monitoring/performance").status_code == 200)
        for page in PAGES:
            seen.open(page)
            assert "undefined" not in seen.text()
            assert "NaN" not in seen.text()
            seen.check()
        _check_what_the_clock_asks(seen)
        with behind_prefix(server, "/models/students") as url:
            browser.open(f"{url}/models/students/#/now")
            seen.settle()
            assert "Nothing was asked since this model went live" in seen.text()
            fetched = browser.run("return performance.getEntriesByType('resource').map(entry => entry.name)")
            assert all(name.startswith(f"{url}/models/students/") for name in fetched)
            assert browser.console_errors() == []
            browser.open("about:blank")
        # what a service says of itself that has no keys
        assert server.client.get("/access").json() == {"keys_in_force": False, "roles": ["predict", "read"]}
        index = server.client.get("/")
        assert "script-src 'self'" in index.headers["content-security-policy"]
        assert "unsafe" not in index.headers["content-security-policy"]
        assert 'src="/' not in index.text  # else it would not work behind the prefix of a proxy
        assert 'href="/' not in index.text


def _check_what_the_clock_asks(seen: Dashboard) -> None:
    """What stays for a while is not asked again, what another was told will do, and a hidden page asks nothing."""
    seen.open("now")
    seen.browser.run("""
        window.asked = []; window.later = 0;
        const fetched = window.fetch, wait = window.setTimeout, now = Date.now;
        window.fetch = (url, options) => {
          const path = new URL(url).pathname, said = new Headers(options.headers).get('cache-control');
          window.asked.push(path + ' ' + said);
          return fetched(url, options);
        };
        window.setTimeout = (act, ms) => wait(act, ms / 100);
        Date.now = () => now() + window.later;
        document.dispatchEvent(new Event('visibilitychange'));
    """)
    count = "return window.asked.filter(each => each === %r).length"
    seen.browser.wait_for((count % "/monitoring/overview max-age=5") + " > 2")
    asked = set(seen.browser.run("return window.asked"))
    often = ("/monitoring/overview", "/health")
    assert asked == {
        f"{path} {said}" for path in often for said in ("null", "max-age=5")
    }  # by hand, by the clock
    seen.browser.run("window.later = 30000")
    seen.browser.wait_for(count % "/monitoring/traffic max-age=30")
    seen.browser.run("Object.defineProperty(document, 'visibilityState', {value: 'hidden'})")
    time.sleep(0.3)  # what was under way
    seen.browser.run("window.asked = []")
    time.sleep(0.2)  # four turns of this clock
    assert seen.browser.run("return window.asked") == []


def test_a_decision_is_found_and_explained(busy: Server, browser: Browser, axe: str | None) -> None:
    seen = Dashboard(browser, busy)
    browser.resize(1400, 1000)
    browser.open(f"{busy.url}/#/decisions")
    browser.run("location.reload()")
    seen.sign_in(READ)
    browser.wait_for("return document.querySelectorAll('main table tbody tr').length === 25")
    browser.run("document.querySelector('main table tbody button').click()")
    browser.wait_for("return document.querySelector('main figure svg') && document.querySelector('main dl')")
    text = seen.text()
    assert "student_country" in text
    assert "Why" in text
    assert "from threshold" in text
    unlikely = (
        "document.getElementById('d-min').value = '0.3511'; document.getElementById('d-max').value = '0.3512';"
        "document.querySelector('main form').requestSubmit()"
    )
    browser.run(unlikely)
    browser.wait_for("return document.querySelector('.nothing')?.innerText.includes('no such decision')")
    browser.run(
        "document.getElementById('d-id').value = 'x'; document.querySelector('main form').requestSubmit()"
    )
    browser.wait_for("return document.querySelector('.bad')?.innerText.includes('36 characters')")
    assert seen.violations(axe) == []
    seen.check()


def test_the_form_is_made_of_the_contract_and_a_field_is_turned(busy: Server, browser: Browser) -> None:
    seen = Dashboard(browser, busy)
    browser.open(f"{busy.url}/#/try-it")
    browser.run("location.reload()")
    seen.sign_in(ALL)
    browser.wait_for("return document.querySelectorAll('main form .field').length === 7")
    before = len(busy.predictions())
    browser.run("document.querySelector('main form').requestSubmit()")
    browser.wait_for("return document.querySelector('.answer strong')?.innerText.endsWith('%')")
    browser.run(
        "const field = document.getElementById('turned'); field.value = 'minutes_watched';"
        "field.dispatchEvent(new Event('change'))"
    )
    browser.wait_for("return /Probability over minutes_watched/.test(document.querySelector('main').innerText)"
                     "&& document.querySelectorAll('main figure svg').length === 2")  # fmt: skip
    assert len(busy.predictions()) - before == 1 + 31  # the answer, and one request for the curve
    browser.run(
        "document.getElementById('t-1').value = '-5'; document.querySelector('main form').requestSubmit()"
    )
    browser.wait_for("return document.querySelector('form .bad')?.innerText.includes('days_on_platform')")
    browser.console_errors()  # of the refused request the browser tells itself


def test_an_operator_promotes_and_a_reader_does_not(busy: Server, browser: Browser) -> None:
    read = {"authorization": f"Bearer {READ}"}
    champion = busy.client.get("/runs").json()["champion"]
    acts = {"/promote": {"run_id": champion}, "/rollback": {}, "/retrain": {}}
    for path, body in acts.items():
        told = busy.client.post(path, json=body | {"reason": "a test"}, headers=read)
        assert told.status_code == 403
        assert busy.client.post(path, json=body).status_code == 400  # without a reason nobody acts
    told = busy.client.post("/promote", json={"run_id": champion, "reason": "a test"})
    assert (told.status_code, told.json()["detail"]) == (409, f"run {champion}: is the champion")
    assert busy.client.post("/promote", json={"run_id": "nobody", "reason": "a test"}).status_code == 404
    told = busy.client.post("/rollback", json={"reason": "a test"})
    assert told.status_code == 409
    assert "no champion before it" in told.json()["detail"]
    seen = Dashboard(browser, busy)
    browser.open(f"{busy.url}/#/runs")
    browser.run("location.reload()")
    seen.sign_in(ALL)
    browser.wait_for("return document.getElementById('why-rollback')")
    browser.run(
        "document.getElementById('why-rollback').value = 'from the page';"
        "document.querySelector('form[aria-label=\"Roll back\"]').requestSubmit()"
    )
    browser.wait_for("return document.querySelector('.bad')?.innerText.includes('no champion before it')")
    browser.console_errors()


def test_who_sends_no_key_sees_the_files_and_nothing_else(busy: Server) -> None:
    bare = {"authorization": ""}
    for path in ("/", "/dashboard/main.js", "/dashboard/style.css"):
        assert busy.client.get(path, headers=bare).status_code == 200
    assert busy.client.get("/access", headers=bare).json() == {"keys_in_force": True, "roles": []}
    assert busy.client.get("/access", headers={"authorization": "Bearer nothing"}).status_code == 401
    assert busy.client.get("/access").json()["roles"] == ["operate", "predict", "read"]
    for path in ("/monitoring/overview", "/monitoring/windows", "/monitoring/traffic"):
        assert busy.client.get(path, headers=bare).status_code == 401
        assert busy.client.get(path, headers={"cache-control": "max-age=60"}).status_code == 200
        assert busy.client.get(path, headers=bare | {"cache-control": "max-age=60"}).status_code == 401
        assert busy.client.get(path, headers={"authorization": f"Bearer {READ}"}).status_code == 200


@pytest.mark.soak
def test_thirty_days_are_opened_in_a_second(
    trained: Workspace, browser: Browser, tmp_path: Path, axe: str | None
) -> None:
    workspace = copy_of(trained, tmp_path / "project")
    made = fill_month(workspace.project(), rows_per_day=400)
    with serving(workspace) as server:
        seen = Dashboard(browser, server)
        wait_until(lambda: server.client.get("/monitoring/performance").status_code == 200)
        windows = server.client.get("/monitoring/windows", params={"hours": 720}).json()
        assert (
            sum(period["windows"] for period in windows["periods"] if period.get("windows"))
            == made.rows // 1000
        )
        for path in ("/monitoring/windows", "/monitoring/traffic", "/monitoring/overview"):
            began = time.monotonic()
            assert server.client.get(path).status_code == 200
            assert time.monotonic() - began < 1.0, path
        for page in PAGES:
            for width in (1400, 390):
                browser.resize(width, 1000)
                seen.open(page)
                assert browser.run("return document.documentElement.scrollWidth") <= width, (page, width)
                assert seen.violations(axe) == [], page
                seen.check()
        browser.open("about:blank")
