"""A connection to NATS that comes back by itself, its streams, and the append that keeps each key once."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import re
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import StreamConfig

from tabloop.errors import BrokerUnavailableError, ConfigError
from tabloop.streaming.broker_address import BrokerAddress
from tabloop.streaming.ports import Entry

if TYPE_CHECKING:
    from nats.js import JetStreamContext
    from nats.js.api import PubAck

_LOGGER = logging.getLogger(__name__)

_CONNECT_S = 5.0
_ANSWER_S = 5.0
_CLOSE_S = 0.5
# A server lets go of a deleted stream's name first and removes its folder then, whoever has the name by that
# time: a stream that is made again at once works until the server starts again, and is lost then. No word
# tells that the folder is gone; 40 MB took 0.02 s.
_REMOVAL_S = 1.0
# Only if the subject has no message yet: the stream itself tells a repetition while it keeps the first
_ONLY_NEW = {"Nats-Expected-Last-Subject-Sequence": "0"}
_WRONG_LAST_SEQUENCE = 10071
_PLAIN_TOKEN = re.compile(r"[A-Za-z0-9_-]+")


def subject_token(key: str) -> str:
    """Write any key as one token of a subject; plain ones as they are.

    Examples
    --------
    >>> subject_token("order-17"), subject_token("order 17.b")
    ('order-17', '=b3JkZXIgMTcuYg')
    """
    if _PLAIN_TOKEN.fullmatch(key):
        return key
    return "=" + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


class JetStream(ABC):
    """What a source and a sink have in common.

    Parameters
    ----------
    address : BrokerAddress
        The address and the credentials of the server.
    """

    def __init__(self, address: BrokerAddress) -> None:
        self._address = address
        self._context = address.ssl_context()
        self._client = Client()
        self._is_open = False

    @property
    def stream(self) -> JetStreamContext:
        """What streams are asked through; raises `BrokerUnavailableError` without a connection."""
        if not self._client.is_connected:
            raise BrokerUnavailableError(f"NATS: no connection to {self._address.shown}")
        return self._client.jetstream()

    async def open(self) -> None:
        """Connect, and make what is read or written."""
        async with answering():
            await self._connect()
            await self.make()
        self._is_open = True

    async def _connect(self) -> None:
        if self._client.is_connected:
            return
        self._client = Client()
        try:
            async with asyncio.timeout(_CONNECT_S):
                await self._client.connect(
                    list(self._address.servers), user=self._address.user or None,
                    password=self._password if self._address.user else None, tls=self._context,
                    max_reconnect_attempts=-1, reconnect_time_wait=1, error_cb=self._note_error,
                )  # fmt: skip
        except BaseException as error:
            with contextlib.suppress(nats.errors.Error, TimeoutError, OSError, RuntimeError):
                async with asyncio.timeout(_CLOSE_S):  # after a failed handshake it would wait for ever
                    await self._client.close()
            if isinstance(error, TimeoutError):
                raise BrokerUnavailableError(f"NATS: no answer from {self._address.shown}") from error
            raise
        self._password()

    def _password(self) -> str:
        """Give the password, which nats-py asks for after the handshake, if there was one."""
        if self._context is not None and not self._client._server_info.get("tls_required"):
            raise ConfigError(f"{self._address.shown} does not speak TLS; no password is sent to it")
        return self._address.password

    async def _note_error(self, error: Exception) -> None:
        """End a first try that will never succeed; later on, whoever uses the connection tells."""
        is_refusal = isinstance(error, ssl.SSLCertVerificationError | nats.errors.AuthorizationError)
        if not self._is_open and (is_refusal or "Authorization Violation" in str(error)):
            raise self._address.refused(error)

    @abstractmethod
    async def make(self) -> None:
        """Make what is read or written where it is not there."""

    async def ensure_stream(self, name: str, subject: str) -> None:
        """Make a stream that is kept on disk, where there is none of that name.

        Raises
        ------
        ConfigError
            If the one that is there does not take the subject.
        """
        try:
            found = (await self.stream.stream_info(name)).config
        except nats.js.errors.NotFoundError:
            await self.let_removal_end()
            await self.stream.add_stream(StreamConfig(name=name, subjects=[subject]))
            if self._is_open:
                _LOGGER.warning("NATS: the stream %s is gone; made again, empty", name)
            return
        if not any(_takes(each, subject) for each in found.subjects or []):
            raise ConfigError(
                f"NATS: the stream {name} is there and does not take the subject {subject}, only "
                f"{', '.join(found.subjects or ['none'])}; add the subject, or name another stream"
            )

    async def let_removal_end(self) -> None:
        """Wait before making again what was there: the server may still be removing its files."""
        if self._is_open:
            await asyncio.sleep(_REMOVAL_S)

    async def append_new(self, prefix: str, entries: Sequence[Entry]) -> int:
        """Publish each under a subject of its own, unless that has a message; give how many had none."""
        subjects = [(f"{prefix}.{subject_token(key)}", body) for key, body in entries]
        outcomes = await self.publish_all(subjects, headers=_ONLY_NEW)
        written = 0
        for outcome in outcomes:
            if isinstance(outcome, nats.js.errors.APIError) and outcome.err_code == _WRONG_LAST_SEQUENCE:
                continue
            if isinstance(outcome, BaseException):
                raise BrokerUnavailableError(f"NATS: {said(outcome)}") from outcome
            written += 1
        return written

    async def publish_all(
        self, messages: Sequence[tuple[str, bytes]], headers: dict[str, str] | None = None
    ) -> list[PubAck | BaseException]:
        """Publish side by side and give each one's answer.

        Not with nats-py's `publish_async`: where the server refuses, its answer never comes.
        """
        async with answering():
            publish = self.stream.publish
            outcomes = await asyncio.gather(
                *(publish(subject, body, _ANSWER_S, headers=headers) for subject, body in messages),
                return_exceptions=True,
            )
            if any(isinstance(each, nats.js.errors.NoStreamResponseError) for each in outcomes):
                await self.make()  # the caller tries again
            return outcomes

    async def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(nats.errors.Error, TimeoutError, OSError):
            if self._client.is_connected:
                await self._client.flush()  # acknowledgements may be on their way
            await self._client.close()


def _takes(pattern: str, subject: str) -> bool:
    """Whether a stream's subject, which may hold `*` and `>`, covers another."""
    wanted = subject.split(".")
    for place, part in enumerate(pattern.split(".")):
        if part == ">":
            return place < len(wanted)
        if place >= len(wanted) or (part != wanted[place] and (part != "*" or wanted[place] == ">")):
            return False
    return len(pattern.split(".")) == len(wanted)


def said(error: BaseException) -> str:
    """Give what an error says, or what it is where it says nothing."""
    return str(error) or type(error).__name__


@contextlib.asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """Name a server that does not answer."""
    try:
        yield
    except BrokerUnavailableError:
        raise
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise BrokerUnavailableError(f"NATS: {said(error)}") from error
