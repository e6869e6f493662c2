from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tabloop.errors import DataError
from tabloop.storage.object_store import ObjectStore, require_safe_endpoint


@pytest.mark.parametrize(
    ("endpoint", "is_http"),
    [("http://127.0.0.1:9000", True), ("http://localhost:9000", True), ("http://[::1]:9000", True),
     ("https://s3.example.org", False), ("", False)],
)  # fmt: skip
def test_plain_http_stays_on_the_machine(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, is_http: bool
) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert require_safe_endpoint("s3://bucket") is is_http


def test_plain_http_to_another_machine_has_to_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio:9000")
    with pytest.raises(DataError, match=r"http://minio is plain http.*AWS_ALLOW_HTTP=true"):
        ObjectStore("s3://bucket")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    assert require_safe_endpoint("s3://bucket")


@pytest.mark.parametrize("url", ["ftp://host/path", "artifacts", "file:///tmp"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(DataError, match="expected a URL of object storage, such as s3://BUCKET/PATH"):
        ObjectStore(url)


def test_an_azure_url_names_the_container_and_the_environment_the_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    class Nothing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Nothing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AZURE_STORAGE_USE_EMULATOR", "true")  # its account is devstoreaccount1
        monkeypatch.setenv("AZURITE_BLOB_STORAGE_URL", f"http://127.0.0.1:{server.server_port}")
        assert ObjectStore("az://shop/visits").read("day=1/a.csv") is None
        server.shutdown()
    assert [path.partition("?")[0] for path in asked] == ["/devstoreaccount1/shop/visits/day=1/a.csv"]
