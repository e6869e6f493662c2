"""One signed POST of a JSON body, as the Standard Webhooks specification has it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import tabloop
from tabloop.config.alerts import AlertsConfig
from tabloop.errors import ConfigError
from tabloop.monitoring.outbox import DeliveryError

_PREFIX = "whsec_"
_LEAST_SECRET_CHARACTERS = 16

#: Names the environment variable that holds the secret, or `whsec_` and the secret in base64.
SECRET_VARIABLE = "TABLOOP_ALERTS_SECRET"  # noqa: S105 - its name


def sign(secret: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """Sign a message.

    Parameters
    ----------
    secret : bytes
        The key; see `read_secret`.
    message_id, timestamp : str
        The values of the headers `webhook-id` and `webhook-timestamp`.
    body : bytes
        The body as it is sent.

    Returns
    -------
    signature : str
        The header `webhook-signature`: `v1,` and the HMAC-SHA256 of id, timestamp and body, joined by
        points, in base64.

    References
    ----------
    .. [1] Standard Webhooks specification, 2023, https://www.standardwebhooks.com.

    Examples
    --------
    >>> sign(b"0123456789abcdef", "a", "1700000000", b"{}")
    'v1,...='
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


def read_secret(text: str) -> bytes:
    """Read a key: `whsec_` and base64, or any text, whose UTF-8 it is.

    Examples
    --------
    >>> read_secret("whsec_MDEyMzQ1Njc4OWFiY2RlZg=="), read_secret("0123456789abcdef")
    (b'0123456789abcdef', b'0123456789abcdef')
    """
    if text.startswith(_PREFIX):
        return base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    return text.encode()


@dataclass(frozen=True)
class Webhook:
    """The receiver of messages: its address and how they are signed.

    Attributes
    ----------
    url : SplitResult
        An http or https address.
    secret : bytes
        Messages are signed with it.
    timeout_s : float
        The time for the connection, and again for the answer.
    name : str
        The receiver's name in messages.
    """

    url: SplitResult
    secret: bytes
    timeout_s: float = 5.0
    name: str = "webhook"

    @classmethod
    def from_config(cls, config: AlertsConfig, environ: Mapping[str, str]) -> Webhook | None:
        """Read address and secret from the environment; None where no webhook is configured.

        Raises
        ------
        ConfigError
            If a variable is missing or cannot be used; neither is shown.
        """
        if config.url_env is None:
            return None
        url = urlsplit(environ.get(config.url_env, ""))
        problems = []
        try:
            usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        except ValueError:
            usable = False
        if not usable:
            problems.append(f"alerts.url_env: {config.url_env} holds no http or https URL")
        secret = b""
        try:
            secret = read_secret(environ.get(SECRET_VARIABLE, ""))
        except (binascii.Error, ValueError):
            problems.append(f"what follows whsec_ in {SECRET_VARIABLE} is no base64")
        else:
            if len(secret) < _LEAST_SECRET_CHARACTERS:
                problems.append(
                    f"{SECRET_VARIABLE} holds {len(secret)} characters, "
                    f"expected at least {_LEAST_SECRET_CHARACTERS}"
                )
        if problems:
            raise ConfigError("the webhook cannot be used\n  " + "\n  ".join(problems))
        return cls(url, secret)

    def post(self, message_id: str, timestamp: str, body: bytes) -> None:
        """Deliver a message; redirects are not followed.

        Raises
        ------
        DeliveryError
            If it was not answered with 2xx.
        """
        path = (self.url.path or "/") + (f"?{self.url.query}" if self.url.query else "")
        headers = {
            "content-type": "application/json",
            "user-agent": f"tabloop/{tabloop.__version__}",
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": sign(self.secret, message_id, timestamp, body),
        }
        connection = self._connect()
        try:
            connection.request("POST", path, body, headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise DeliveryError(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()
        if not 200 <= status < 300:
            is_refusal = 400 <= status < 500 and status not in (408, 429)
            raise DeliveryError(f"answered with status {status}", is_refusal=is_refusal)

    def _connect(self) -> http.client.HTTPConnection:
        host, port, timeout_s = self.url.hostname or "", self.url.port, self.timeout_s
        if self.url.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
        return http.client.HTTPConnection(host, port, timeout=timeout_s)
