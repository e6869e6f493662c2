"""Objects below one URL of object storage: read, listed, written whole, on a condition where it matters."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from tabloop.errors import DataError, StorageError
from tabloop.extras import missing_extra

#: The schemes that are understood, and where each finds its credentials.
CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and, elsewhere than Amazon, AWS_ENDPOINT_URL",
    "gs": "GOOGLE_SERVICE_ACCOUNT or GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
}
#: Schemes of web servers, whose files are public and can only be read.
WEB_SCHEMES = ("https", "http")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_CONNECT_S = 5.0
_DOWNLOAD_BYTES = 1 << 20


@dataclass(frozen=True)
class StoredObject:
    """An object as it was read.

    Attributes
    ----------
    content : bytes
        All of it.
    version : str
        Its ETag: `ObjectStore.replace` takes it, so that nobody overwrites what he has not seen.
    """

    content: bytes
    version: str


class ObjectStore:
    """All objects whose keys begin with the path of a URL.

    Credentials and endpoint come from the environment only. Several threads may share one.

    Parameters
    ----------
    url : str
        `s3://BUCKET/PATH`, `gs://BUCKET/PATH` or `az://CONTAINER/PATH`.
    patience_s : float, default=60.0
        How long lost connections and answers of 5xx are tried again, with growing pauses.
    web : bool, default=False
        Whether the URL may also be one of `WEB_SCHEMES`.

    Raises
    ------
    DataError
        If the URL is of another kind, or its endpoint is plain http on another machine.
    MissingExtraError
        If the extra `remote` is not installed.
    StorageError
        If the address cannot be understood.
    """

    def __init__(self, url: str, *, patience_s: float = 60.0, web: bool = False) -> None:
        self.url = url.rstrip("/")
        self._scheme = urlsplit(url).scheme
        known = (*CREDENTIALS, *(WEB_SCHEMES if web else ()))
        if self._scheme not in known:
            raise DataError(
                f"{url}: expected a URL of object storage, such as s3://BUCKET/PATH "
                f"(known: {', '.join(known)})"
            )
        try:
            import obstore
            from obstore import store
        except ModuleNotFoundError as error:
            raise missing_extra(error, url) from error
        self._api: Any = obstore
        client: Any = {
            "connect_timeout": timedelta(seconds=min(_CONNECT_S, patience_s)),
            "timeout": timedelta(seconds=max(5 * patience_s, 5.0)),
        }
        if self._scheme == "http" or (self._scheme == "s3" and require_safe_endpoint(url)):
            client["allow_http"] = True
        retries: Any = {
            "max_retries": 100,  # the time of the retries is limited, not their number
            "retry_timeout": timedelta(seconds=patience_s),
            "backoff": {
                "init_backoff": timedelta(seconds=0.1),
                "max_backoff": timedelta(seconds=5.0),
                "base": 2,
            },
        }
        with self._told():
            self._store: Any = store.from_url(self.url, client_options=client, retry_config=retries)

    def read(self, key: str) -> StoredObject | None:
        """Read a small object; None where there is none."""
        with self._told(key):
            try:
                found = self._api.get(self._store, key)
            except FileNotFoundError:
                return None
            return StoredObject(bytes(found.bytes()), found.meta["e_tag"] or "")

    def download(self, key: str, file: BinaryIO, *, version: str | None = None) -> bool:
        """Write an object into an open file, in bounded memory; False where there is none of that version."""
        with self._told(key):
            try:
                found = self._api.get(self._store, key, options={"if_match": version} if version else None)
            except (FileNotFoundError, self._api.exceptions.PreconditionError):
                return False
            for block in found.stream(min_chunk_size=_DOWNLOAD_BYTES):
                file.write(block)
            return True

    def entries(self, below: str = "") -> Iterator[tuple[str, int, str]]:
        """List key, size and version of the objects below a path, in no order."""
        with self._told(below):
            for some in self._api.list(self._store, below or None, chunk_size=1000):
                for each in some:
                    yield str(each["path"]), int(each["size"]), _version(each)

    def entry(self, key: str) -> tuple[str, int, str] | None:
        """Give key, size and version of an object; None where there is none."""
        with self._told(key):
            try:
                found = self._api.head(self._store, key)
            except FileNotFoundError:
                return None
            return key, int(found["size"]), _version(found)

    def keys(self, below: str = "") -> Iterator[str]:
        """List the keys below a path, in no order."""
        for key, _, _ in self.entries(below):
            yield key

    def folders(self, below: str) -> list[str]:
        """Name what lies directly below a path and has objects below itself."""
        with self._told(below):
            found = self._api.list_with_delimiter(self._store, below)
            return sorted(str(each).rpartition("/")[2] for each in found["common_prefixes"])

    def remove(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        with self._told(key), contextlib.suppress(FileNotFoundError):
            self._api.delete(self._store, key)

    def put(self, key: str, content: bytes | Path) -> None:
        """Write an object, in place of one that is there; a file of this machine in bounded memory."""
        with self._told(key):
            self._api.put(self._store, key, content)

    def put_new(self, key: str, content: bytes) -> bool:
        """Write an object unless one is there; of two who try only one gets True."""
        with self._told(key):
            try:
                self._api.put(self._store, key, content, mode="create", use_multipart=False)
            except (self._api.exceptions.AlreadyExistsError, self._api.exceptions.PreconditionError):
                return False
            return True

    def replace(self, key: str, content: bytes, version: str) -> bool:
        """Write an object in place of the version that was read; False where it is another one by now."""
        with self._told(key):
            try:
                self._api.put(self._store, key, content, mode={"e_tag": version}, use_multipart=False)
            except (self._api.exceptions.PreconditionError, FileNotFoundError):
                return False
            return True

    @contextlib.contextmanager
    def _told(self, key: str = "") -> Iterator[None]:
        """Say where it happened, in our errors, and what to do."""
        try:
            yield
        except (self._api.exceptions.BaseError, FileNotFoundError, ValueError) as error:
            names = CREDENTIALS.get(self._scheme)
            advice = f". The environment says who you are: {names}" if names else ""
            raise StorageError(f"{self.url}{'/' * bool(key)}{key}: {_sentence(error)}{advice}") from error


def _version(found: Any) -> str:
    return str(found.get("e_tag") or found["last_modified"])


def require_safe_endpoint(url: str) -> bool:
    """Tell whether the endpoint of S3 is plain http; raise where that would cross a network unasked.

    Raises
    ------
    DataError
        If it is on another machine, and `AWS_ALLOW_HTTP` is not `true`.
    """
    endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")
    parts = urlsplit(endpoint)
    if parts.scheme != "http":
        return False
    host = parts.hostname or ""
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return True
    if host == "localhost" or os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true"):
        return True
    raise DataError(
        f"{url}: the endpoint {parts.scheme}://{host} is plain http, and so is whatever is sent there; "
        "use https, or say AWS_ALLOW_HTTP=true where the network is your own"
    )


def _sentence(error: Exception) -> str:
    """Give the first line of an error of obstore, without the debug output that follows."""
    text = " ".join(str(error).partition("\n\nDebug source:")[0].split())
    told = re.search(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", text)  # the server's own words
    return (f"{told[1]}: {told[2]}" if told else text[:300]).rstrip(".")
