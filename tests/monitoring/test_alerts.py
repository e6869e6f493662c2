"""An alarm reaches a real receiver at least once, signed, and nobody waits for it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.shown import run_shown

from tabloop.config.alerts import AlertsConfig
from tabloop.errors import ConfigError
from tabloop.monitoring.alerts import OUTBOX, Alerts, read_alert_troubles
from tabloop.monitoring.outbox import Patience

KEY = "a secret of the receiver"
Message = tuple[dict[str, str], bytes]


class Receiver(ThreadingHTTPServer):
    """Takes alarms; answers the first ones as it is told, `hang` and `drop` included."""

    daemon_threads = True

    def __init__(self, *first: int | str) -> None:
        self.first = list(first)
        self.seen: list[Message] = []
        self.taken: list[Message] = []
        self.times: list[float] = []
        self.released = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def environ(self) -> dict[str, str]:
        return {
            "HOOK": f"http://127.0.0.1:{self.server_port}/alarms?from=tabloop",
            "TABLOOP_ALERTS_SECRET": KEY,
        }

    def close(self) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.taken]


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        message = (
            {name.lower(): value for name, value in self.headers.items()} | {":path": self.path},
            self.rfile.read(int(self.headers["content-length"])),
        )
        self.server.times.append(time.monotonic())
        self.server.seen.append(message)
        answer = self.server.first.pop(0) if self.server.first else 204
        if answer == "drop":
            self.connection.close()
            return
        if answer == "hang":
            self.server.released.wait(20)
            return
        if isinstance(answer, int) and answer < 300:
            self.server.taken.append(message)
        self.send_response(int(answer))
        if answer == 302:
            self.send_header("location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def receivers() -> Iterator[list[Receiver]]:
    opened: list[Receiver] = []
    yield opened
    for receiver in opened:
        receiver.close()


def receive(receivers: list[Receiver], *first: int | str) -> Receiver:
    receivers.append(Receiver(*first))
    return receivers[-1]


QUICK = Patience(first_retry_s=0.02, max_retry_s=0.05)


def config(**settings: Any) -> AlertsConfig:
    return AlertsConfig.model_validate({"url_env": "HOOK"} | settings)


def open_alerts(folder: Path, environ: dict[str, str], patience: Patience = QUICK, **settings: Any) -> Alerts:
    return Alerts(config(**settings), folder, environ=environ, patience=patience)


def wait_for(condition: Any, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def outbox(folder: Path) -> list[str]:
    return sorted(path.stem for path in (folder / OUTBOX).glob("*"))


def documented_check() -> Any:
    """The function that docs/retraining.md gives to receivers."""
    _, names = run_shown("docs/retraining.md", "import base64")
    return names["is_from_tabloop"]


def test_an_alarm_is_signed_as_standard_webhooks_says(receivers: list[Receiver], tmp_path: Path) -> None:
    receiver = receive(receivers)
    with open_alerts(tmp_path, receiver.environ) as alerts:
        name = alerts.send({"name": "drift_rule", "words": "drifted: minutes_watched, ü"})
        wait_for(lambda: receiver.taken)
    ((headers, body),) = receiver.taken
    assert headers[":path"] == "/alarms?from=tabloop"
    assert headers["webhook-id"] == name
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    signed = f"{name}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(KEY.encode(), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"

    is_from_tabloop = documented_check()
    assert is_from_tabloop(headers, body, KEY)
    assert not is_from_tabloop(headers, body + b" ", KEY)
    assert not is_from_tabloop(headers | {"webhook-timestamp": "1700000000"}, body, KEY)
    assert not is_from_tabloop(headers, body, KEY.upper())

    message = json.loads(body)
    assert message["id"] == name
    assert message["type"] == "tabloop.alarm"
    assert message["data"] == {"name": "drift_rule", "words": "drifted: minutes_watched, ü"}
    assert outbox(tmp_path) == []


@pytest.mark.parametrize("trouble", [500, 429, 408, 302, "drop"])
def test_what_is_not_taken_is_sent_again_under_the_same_id(
    receivers: list[Receiver], tmp_path: Path, trouble: int | str
) -> None:
    receiver = receive(receivers, trouble, trouble)
    with open_alerts(tmp_path, receiver.environ) as alerts:
        name = alerts.send({"name": "a"})
        wait_for(lambda: receiver.taken)
        wait_for(lambda: not alerts.waiting)
    assert receiver.ids() == [name]
    assert [headers["webhook-id"] for headers, _ in receiver.seen] == [name] * 3
    assert {body for _, body in receiver.seen} == {receiver.taken[0][1]}


def test_each_wait_is_longer_than_the_last_up_to_the_longest(
    receivers: list[Receiver], tmp_path: Path
) -> None:
    receiver = receive(receivers, *[503] * 5)
    patience = Patience(first_retry_s=0.04, max_retry_s=0.2)
    with open_alerts(tmp_path, receiver.environ, patience) as alerts:
        alerts.send({"name": "a"})
        wait_for(lambda: receiver.taken)
    waits = [after - before for before, after in pairwise(receiver.times)]
    for wait, longest in zip(waits, [0.04, 0.08, 0.16, 0.2, 0.2], strict=True):
        assert wait >= longest / 2  # the other half is chance


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
def test_a_refused_alarm_is_not_sent_again_and_is_a_trouble_until_a_restart_delivers_it(
    receivers: list[Receiver], tmp_path: Path, status: int
) -> None:
    receiver = receive(receivers, status)
    with open_alerts(tmp_path, receiver.environ) as alerts:
        names = [alerts.send({"n": n}) for n in range(4)]
        wait_for(lambda: len(receiver.taken) == 3)
        wait_for(lambda: alerts.waiting == 1)
        time.sleep(0.2)  # several of the longest waits
        assert len(receiver.seen) == 4
        assert alerts.undelivered == 1
        assert alerts.troubles == [
            "alarms do not reach the webhook: 1 refused and not sent again before a restart "
            f"(answered with status {status})"
        ]
        assert read_alert_troubles(tmp_path) == alerts.troubles
    assert receiver.ids() == names[1:]
    assert outbox(tmp_path) == names[:1]
    with open_alerts(tmp_path, receiver.environ) as again:
        wait_for(lambda: not again.waiting)
        wait_for(lambda: read_alert_troubles(tmp_path) == [])
        assert again.undelivered == 0
    assert receiver.ids() == [*names[1:], names[0]]


def test_alarms_wait_in_order_while_the_receiver_cannot_be_reached(
    receivers: list[Receiver], tmp_path: Path
) -> None:
    receiver = receive(receivers, 503, 503)
    with open_alerts(tmp_path, receiver.environ) as alerts:
        names = [alerts.send({"n": n}) for n in range(4)]
        wait_for(lambda: len(receiver.taken) == 4)
    assert receiver.ids() == names


def test_nobody_waits_for_a_receiver_that_does_not_answer(receivers: list[Receiver], tmp_path: Path) -> None:
    receiver = receive(receivers, "hang")
    alerts = open_alerts(tmp_path, receiver.environ)
    alerts.send({"n": 0})
    wait_for(lambda: receiver.seen)
    for n in range(1, 20):
        alerts.send({"n": n})  # the first is still being sent: with its network wait this would take 5 s each
    assert alerts.waiting == 20
    assert len(receiver.seen) == 1
    alerts.close(timeout_s=0.01)
    assert len(outbox(tmp_path)) == 20


def test_what_was_not_delivered_survives_a_restart(receivers: list[Receiver], tmp_path: Path) -> None:
    nobody = {"HOOK": "http://127.0.0.1:1/", "TABLOOP_ALERTS_SECRET": KEY}
    with open_alerts(tmp_path, nobody) as alerts:
        names = [alerts.send({"n": n}) for n in range(3)]
        wait_for(lambda: alerts.undelivered == 3)
        assert "3 waiting to be sent again (ConnectionRefusedError" in alerts.troubles[0]
    assert outbox(tmp_path) == names
    (tmp_path / OUTBOX / "notes.json").write_text("not an alarm")
    receiver = receive(receivers)
    with open_alerts(tmp_path, receiver.environ) as again:
        wait_for(lambda: not again.waiting)
    assert receiver.ids() == names
    assert outbox(tmp_path) == ["notes"]


def test_an_alarm_survives_kill_9(receivers: list[Receiver], tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from tabloop.config.alerts import AlertsConfig
from tabloop.monitoring.alerts import Alerts
config = AlertsConfig(url_env="HOOK")
print(Alerts(config, Path(sys.argv[1])).send({"name": "a"}), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=os.environ | {"HOOK": "http://127.0.0.1:1/", "TABLOOP_ALERTS_SECRET": KEY},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    receiver = receive(receivers)
    with open_alerts(tmp_path, receiver.environ):
        wait_for(lambda: receiver.taken)
    assert receiver.ids() == [done.stdout.strip()]


def test_the_queue_is_bounded_and_the_oldest_gives_way(tmp_path: Path) -> None:
    nobody = {"HOOK": "http://127.0.0.1:1/", "TABLOOP_ALERTS_SECRET": KEY}
    with open_alerts(tmp_path, nobody, Patience(max_waiting=3)) as alerts:
        names = [alerts.send({"n": n}) for n in range(5)]
        assert alerts.waiting == 3
        assert "2 given up" in alerts.troubles[0]
    assert outbox(tmp_path) == names[2:]


def test_an_alarm_is_given_up_when_it_is_too_old(receivers: list[Receiver], tmp_path: Path) -> None:
    nobody = {"HOOK": "http://127.0.0.1:1/", "TABLOOP_ALERTS_SECRET": KEY}
    with open_alerts(tmp_path, nobody, Patience(0.02, 0.05, keep_hours=0.3 / 3600)) as alerts:
        alerts.send({"n": 1})
        wait_for(lambda: not alerts.waiting)
        wait_for(lambda: "1 given up" in str(read_alert_troubles(tmp_path)))
        assert alerts.undelivered == 1
    assert outbox(tmp_path) == []


def test_an_outbox_that_cannot_be_written_loses_nothing_while_the_process_lives(
    receivers: list[Receiver], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "monitoring").write_text("a file where the folder should be")
    receiver = receive(receivers)
    with open_alerts(tmp_path, receiver.environ) as alerts:
        name = alerts.send({"n": 1})
        wait_for(lambda: receiver.taken)
    assert receiver.ids() == [name]
    assert "in memory only" in caplog.text


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({}, "HOOK holds no http or https URL"),
        ({"HOOK": "ftp://example.org"}, "HOOK holds no http or https URL"),
        ({"HOOK": "https://example.org:99999"}, "HOOK holds no http or https URL"),
        ({"HOOK": "https://example.org"}, "SECRET holds 0 characters, expected at least 16"),
        ({"HOOK": "https://example.org", "TABLOOP_ALERTS_SECRET": "whsec_?"}, "SECRET is no base64"),
    ],
)
def test_a_webhook_that_cannot_work_is_an_error_at_the_start(
    environ: dict[str, str], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        open_alerts(tmp_path, environ)
    assert "example.org" not in str(caught.value)


def test_without_a_webhook_nothing_is_sent_or_kept(tmp_path: Path) -> None:
    with Alerts(AlertsConfig(), tmp_path, environ={}) as alerts:
        assert alerts.send({"name": "a"}) is None
    assert list(tmp_path.iterdir()) == []


# Apprise, against servers that speak the protocols


class Mailbox(socketserver.ThreadingTCPServer):
    """An SMTP server that keeps the messages."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        self.messages: list[str] = []
        super().__init__(("127.0.0.1", 0), MailHandler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class MailHandler(socketserver.StreamRequestHandler):
    server: Mailbox

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            command = line[:4].upper().strip()
            if command == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = list(iter(self.rfile.readline, b".\r\n"))
                self.server.messages.append(b"".join(lines).decode())
            self.wfile.write(b"221 bye\r\n" if command == b"QUIT" else b"250 ok\r\n")
            if command == b"QUIT":
                return


ALARM = {"alarm": "drift_rule", "run_id": "20261128T1200", "words": "drifted: minutes_watched"}


def test_apprise_reaches_every_receiver_beside_the_webhook(receivers: list[Receiver], tmp_path: Path) -> None:
    hook, service = receive(receivers), receive(receivers, 500)
    with Mailbox() as mailbox:
        urls = (
            f"json://127.0.0.1:{service.server_port}/token-of-mine",
            f"mailto://127.0.0.1:{mailbox.server_address[1]}?from=tabloop@example.org&to=me@example.org"
            "&mode=insecure",
        )
        environ = hook.environ | {"CHAT": "\n".join(urls)}
        with open_alerts(tmp_path, environ, apprise_env="CHAT") as alerts:
            alerts.send(ALARM)
            wait_for(lambda: not alerts.waiting)
            assert alerts.troubles == []
        mailbox.shutdown()
    assert len(hook.taken) == 1
    assert len(service.seen) == 2  # the first was answered with 500, and only this receiver was asked again
    assert len(mailbox.messages) == 1
    told = json.loads(service.taken[0][1])
    assert told["title"] == "tabloop alarm: drift_rule"
    assert "drifted: minutes_watched" in told["message"]
    assert "run 20261128T1200" in told["message"]
    assert "Subject: tabloop alarm: drift_rule" in mailbox.messages[0]


def test_a_receiver_of_apprise_that_takes_nothing_is_a_trouble_and_shows_no_secret(
    receivers: list[Receiver], tmp_path: Path
) -> None:
    service = receive(receivers, *[503] * 500)
    url = f"json://127.0.0.1:{service.server_port}/token-of-mine"
    with open_alerts(tmp_path, {"CHAT": url}, url_env=None, apprise_env="CHAT") as alerts:
        name = alerts.send(ALARM)
        wait_for(lambda: read_alert_troubles(tmp_path))
        assert "alarms do not reach the JSON: 1 waiting to be sent again" in str(alerts.troubles)
    (waiting,) = (tmp_path / OUTBOX).rglob("*.json")
    assert waiting.stem == name
    assert "token" not in str(waiting.relative_to(tmp_path)) + str(read_alert_troubles(tmp_path))


@pytest.mark.parametrize(
    ("urls", "problem"), [("", "holds nothing"), ("json://a nothing://b", "of 2: number 2")]
)
def test_urls_that_apprise_cannot_use_are_an_error_at_the_start(
    tmp_path: Path, urls: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        open_alerts(tmp_path, {"CHAT": urls}, url_env=None, apprise_env="CHAT")
    assert "://b" not in str(caught.value)
