from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tabloop.deployment.api_keys import load_keys, parse_keys, read_keys
from tabloop.errors import ConfigError
from tests.deployment.conftest import Serve
from tests.deployment.real_server import wait_until

BOTH, PREDICT, READ, LATE = (name * 20 for name in "brpl")


def with_key(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_keys_open_what_their_roles_say(serve: Serve, student: dict[str, Any]) -> None:
    hashed = hashlib.sha256(READ.encode()).hexdigest()
    server = serve(
        "serving.api_keys_env=SERVICE_KEYS",
        environ={"SERVICE_KEYS": f"predict,read {BOTH}\npredict {PREDICT}\n# a note\nread sha256:{hashed}\n"},
    )

    def statuses(key: str | None) -> list[int]:
        headers = with_key(key) if key else {}
        return [
            server.client.post("/predict", json=student, headers=headers).status_code,
            server.client.get("/model", headers=headers).status_code,
            server.client.get("/docs", headers=headers).status_code,
            server.client.get("/metrics", headers=headers).status_code,
        ]

    assert statuses(BOTH) == [200, 200, 200, 200]
    assert statuses(PREDICT) == [200, 403, 403, 403]
    assert statuses(READ) == [403, 200, 200, 200]
    assert statuses(None) == statuses("x" * 20) == statuses(f"sha256:{hashed}") == [401, 401, 401, 401]
    assert server.client.post("/predict", json=student, headers={"x-api-key": PREDICT}).status_code == 200
    assert server.client.post("/v2/models/purchase/infer", json={}).status_code == 401
    assert server.client.get("/nowhere").status_code == 401  # what there is, strangers are not told
    for probe in ("/health", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"):
        assert server.client.get(probe).status_code == 200
    refused = server.client.get("/model")
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.headers["content-type"] == "application/problem+json"
    told = server.client.get("/model", headers=with_key(PREDICT)).json()
    assert "needs the role read" in told["detail"]
    document = server.client.get("/openapi.json", headers=with_key(READ)).json()
    assert {"401", "403"} <= document["paths"]["/predict"]["post"]["responses"].keys()
    assert document["paths"]["/predict"]["post"]["security"]
    assert "security" not in document["paths"]["/health"]["get"]
    assert BOTH not in server.log_path.read_text()


def test_a_file_of_keys_is_rotated_while_the_service_runs(serve: Serve, deployed: Any) -> None:
    path: Path = deployed.folder / "keys.txt"
    path.write_text(f"read {READ}\n")
    server = serve("serving.api_keys_file=keys.txt", workers=2)

    def status(key: str) -> int:
        headers = with_key(key) | {"connection": "close"}
        return max(server.client.get("/model", headers=headers).status_code for _ in range(6))

    def health() -> set[tuple[str, bool]]:
        told = [server.client.get("/health", headers={"connection": "close"}).json() for _ in range(10)]
        return {(each["status"], bool(each["troubles"])) for each in told}

    assert (status(READ), status(LATE)) == (200, 401)
    path.write_text(f"read {READ}\nread {LATE}\n")
    wait_until(lambda: status(LATE) == 200)
    time.sleep(3)  # the worker that did not answer just now looks each second, too
    path.write_text("read short\n")
    wait_until(lambda: health() == {("degraded", True)})
    assert (status(READ), status(LATE)) == (200, 200)  # the keys before stay in force
    trouble = server.client.get("/health").json()["troubles"][0]
    assert "keys.txt: " in trouble
    assert "/" not in trouble  # whoever asks for the health need not know where files are
    path.unlink()
    time.sleep(1.1)
    assert status(READ) == 200
    path.write_text(f"read {LATE}\n")
    wait_until(lambda: health() == {("ok", False)})
    assert (status(READ), status(LATE)) == (401, 200)


def test_no_key_file_stops_anybody(serve: Serve, deployed: Any, student: dict[str, Any]) -> None:
    path: Path = deployed.folder / "keys.txt"
    path.write_text(f"predict {PREDICT}\n")
    server = serve("serving.api_keys_file=keys.txt")

    def trouble() -> str:
        return " ".join(server.client.get("/health").json()["troubles"])

    def replaced_by(make: Callable[[Path], None], said: str) -> None:
        path.unlink()
        make(path)
        wait_until(lambda: said in trouble())
        answer = server.client.post("/predict", json=student, headers=with_key(PREDICT), timeout=5)
        assert answer.status_code == 200

    def enormous(path: Path) -> None:
        path.touch()
        os.truncate(path, 1 << 30)

    replaced_by(os.mkfifo, "not a regular file")
    replaced_by(enormous, "larger than 1,048,576 bytes")
    with pytest.raises(ConfigError, match="not a regular file"):
        read_keys(Path("/dev/zero"))
    path.unlink()
    path.write_text(f"predict {LATE}\n")
    wait_until(lambda: trouble() == "")
    assert server.client.post("/predict", json=student, headers=with_key(LATE)).status_code == 200


def test_keys_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def spy(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return hmac_compare(a, b)

    hmac_compare = hmac.compare_digest
    monkeypatch.setattr("tabloop.deployment.api_keys.hmac.compare_digest", spy)
    keys = load_keys("KEYS", None, {"KEYS": f"read {READ}\npredict {PREDICT}\n"})
    assert keys is not None
    assert keys.roles_of(READ) == {"read"}
    assert len(compared) == 2  # all of them, although the first one matched
    assert keys.roles_of("schlüssel" * 3) == frozenset()
    assert all(len(a) == len(b) == 32 for a, b in compared)


def test_a_key_may_hold_any_letters() -> None:
    key = "schlüssel-schlüssel"
    keys = load_keys("KEYS", None, {"KEYS": f"read {key}"})
    assert keys is not None
    as_sent = key.encode().decode("utf-8", "surrogateescape")
    assert "read" in keys.roles_of(as_sent)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("read", "line 1: expected `role"),
        ("write abcdefghijklmnopqrst", "line 1: expected `role"),
        ("\nread short", "line 2: expected a key of at least 16"),
        ("read sha256:zz", "64 hexadecimal"),
        ("# nothing\n", "holds no key"),
    ],
)
def test_wrong_keys_are_named_by_line_and_not_shown(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match="API keys cannot be read") as caught:
        parse_keys(text, "keys.txt")
    assert said in str(caught.value)
    assert "abcdefghijkl" not in str(caught.value)
