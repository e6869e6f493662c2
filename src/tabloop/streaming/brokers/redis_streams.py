"""Redis Streams: a consumer group in, an append that knows its event ids out."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Collection, Sequence
from time import monotonic
from typing import Any

import hiredis
import redis.exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from tabloop.config.streaming import RedisSink, RedisSource
from tabloop.errors import BrokerUnavailableError
from tabloop.streaming.broker_address import BrokerAddress
from tabloop.streaming.dead_letter import DeadLetter
from tabloop.streaming.events import Delivery
from tabloop.streaming.ports import EXTENSIONS, Entry, Lag

_LOGGER = logging.getLogger(__name__)

_ANSWER_S = 10.0
_FIELD = "__data__"

# FastStream's publishers put headers before the body: after this mark and a version stand two offsets, each
# of four bytes, and the second one is that of the body
_FASTSTREAM_MARK = b"\x89BIN\x0d\x0a\x1a\x0a"

# One step for Redis: a key that is new and its entry are written together or not at all, also in the
# append-only file, whatever is killed in between.
_APPEND_NEW = """
local written = 0
for i = 1, #ARGV, 2 do
  if redis.call('SADD', KEYS[2], ARGV[i]) == 1 then
    redis.call('XADD', KEYS[1], '*', '__data__', ARGV[i + 1])
    written = written + 1
  end
end
return written
"""
# Only those that are known: one answer for each, as SMISMEMBER gives, is what reading costs most
_KNOWN = """
local known = {}
for i = 1, #ARGV do
  if redis.call('SISMEMBER', KEYS[1], ARGV[i]) == 1 then
    known[#known + 1] = ARGV[i]
  end
end
return known
"""
# Entries for one call of the script: it holds up every other client meanwhile
_SCRIPT_ENTRIES = 512
# Redis takes texts up to `proto-max-bulk-len`; this is its default, for servers that do not tell
_DEFAULT_BULK_BYTES = 512 * 1024 * 1024
_PENDING_AT_ONCE = 1000


def known_keys_of(stream: str) -> str:
    """Name the set of keys that a stream has had; the braces keep both in one slot of a cluster."""
    return f"{{{stream}}}:ids"


class _QuickPacking(AbstractConnection):
    """Writes commands by hiredis; redis-py's own way takes ten times as long for one of 500 arguments."""

    def pack_command(self, *args: Any) -> list[bytes]:
        name, *rest = args  # a name such as `CONFIG GET` is two words
        words = name.split() if isinstance(name, str | bytes) else (name,)
        packed: bytes = hiredis.pack_command((*words, *rest))
        return [packed]


class _RedisStreams:
    """A connection and the append that keeps each key once."""

    def __init__(self, address: BrokerAddress) -> None:
        self._address = address
        address.ssl_context()  # raises now if a file is no certificate
        files: dict[str, Any] = {
            "ssl_ca_certs": address.ca_file or None,
            "ssl_certfile": address.cert_file or None,
            "ssl_keyfile": address.key_file or None,
        }
        self._client: Redis = Redis.from_url(
            address.servers[0], username=address.user or None, password=address.password or None,
            socket_connect_timeout=_ANSWER_S, socket_timeout=_ANSWER_S,
            **(files if address.is_encrypted else {}),
        )  # fmt: skip
        pool = self._client.connection_pool
        pool.connection_class = type("Connection", (_QuickPacking, pool.connection_class), {})
        for command in ("XREADGROUP", "XAUTOCLAIM"):  # the client would make a dictionary of each entry
            self._client.set_response_callback(command, lambda response, **_: response)
        self._append_new = self._client.register_script(_APPEND_NEW)
        self._known = self._client.register_script(_KNOWN)

    async def open(self) -> None:
        async with self._answering():
            await self._client.ping()

    async def append_new(self, stream: str, entries: Sequence[Entry]) -> int:
        written = 0
        async with self._answering():
            for start in range(0, len(entries), _SCRIPT_ENTRIES):
                part = [text for entry in entries[start : start + _SCRIPT_ENTRIES] for text in entry]
                written += int(await self._append_new(keys=[stream, known_keys_of(stream)], args=part))
        return written

    async def close(self) -> None:
        with contextlib.suppress(redis.exceptions.RedisError, OSError):
            await self._client.aclose()

    @contextlib.asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        """Name a server that does not answer, does not let us in, or cannot write."""
        try:
            yield
        except redis.exceptions.AuthenticationError as error:
            raise self._address.refused(error) from error
        except (redis.exceptions.RedisError, OSError) as error:
            if isinstance(error.__cause__ or error.__context__, ssl.SSLCertVerificationError):
                raise self._address.refused(error) from error
            raise BrokerUnavailableError(f"Redis: {error}") from error


class RedisEventSource(_RedisStreams):
    """Reads a stream as one consumer of a group; see `EventSource`.

    Parameters
    ----------
    config : RedisSource
        Stream, group and dead letters.
    address : BrokerAddress
        The address and the credentials of the server.
    dead_letters : bool, default=False
        Read the dead letters, in a group of their own that takes over at once.
    """

    def __init__(self, config: RedisSource, address: BrokerAddress, *, dead_letters: bool = False) -> None:
        super().__init__(address)
        self._stream = config.dead_letters if dead_letters else config.stream
        self._group = f"{config.group}.replay" if dead_letters else config.group
        self._letters = config.dead_letters
        self._is_replay = dead_letters
        # a name is one process's: what a dead one held is taken over, by whoever comes after it
        self._consumer = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._claim_after_ms = 0 if dead_letters else max(1, round(config.claim_after_s * 1000))
        self._claim_from: bytes | str | None = "0-0"
        self._next_claim_s = 0.0
        # a replay takes over at once, and reads what it has only once: there is nothing to extend
        self.extend_every_s = None if dead_letters else config.claim_after_s / EXTENSIONS
        self._most_bytes = _DEFAULT_BULK_BYTES
        self.ended = False

    async def open(self) -> None:
        """Connect and make the group; see `EventSource.open`."""
        await super().open()
        async with self._answering():
            await self._make_group()
            with contextlib.suppress(redis.exceptions.ResponseError):  # CONFIG may be forbidden
                found = await self._client.config_get("proto-max-bulk-len")
                self._most_bytes = int(str(found.get("proto-max-bulk-len", _DEFAULT_BULK_BYTES)))

    async def _make_group(self) -> None:
        try:
            await self._client.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except redis.exceptions.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def pull(self, max_events: int, timeout_s: float) -> list[Delivery]:
        """Take over what others left behind, then read what is new; see `EventSource.pull`."""
        async with self._answering():
            try:
                return await self._claim(max_events) or await self._read(max_events, timeout_s)
            except redis.exceptions.ResponseError as error:
                if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                    raise
                _LOGGER.warning(
                    "Redis: the stream %s or its group %s is gone (%s); made again, from the oldest event on",
                    self._stream, self._group, error,
                )  # fmt: skip
                await self._make_group()
                return []

    async def _read(self, max_events: int, timeout_s: float) -> list[Delivery]:
        streams: Any = await self._client.xreadgroup(
            self._group, self._consumer, {self._stream: ">"}, count=max_events,
            block=max(1, round(timeout_s * 1000)),
        )  # fmt: skip
        self.ended = self._is_replay and not streams
        if not streams:
            return []
        # by stream: a mapping in the newer protocol, a list of pairs in the older one
        ((_, entries),) = streams.items() if isinstance(streams, dict) else streams
        return _deliveries(entries)

    async def _claim(self, max_events: int) -> list[Delivery]:
        now = monotonic()
        if self._claim_from is None or now < self._next_claim_s:
            return []
        cursor, entries, *_ = await self._client.xautoclaim(
            self._stream, self._group, self._consumer, self._claim_after_ms,
            start_id=self._claim_from, count=max_events,
        )  # fmt: skip
        self._claim_from = cursor
        if cursor in (b"0-0", "0-0"):  # the whole list was looked through
            self._next_claim_s = now + self._claim_after_ms / 2000
            # what a replay cannot decide stays pending: one look is enough, a second would never end
            self._claim_from = None if self._is_replay else "0-0"
        return _deliveries(entries)

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Take events off the group's pending list, decided dead letters off their stream."""
        if not deliveries:
            return
        ids = [delivery.handle for delivery in deliveries]
        async with self._answering():
            await self._client.xack(self._stream, self._group, *ids)
            if self._is_replay:
                await self._client.xdel(self._stream, *ids)

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        """Begin the time of each anew, unless another consumer has it by now."""
        held = {delivery.handle for delivery in deliveries}
        async with self._answering():
            async for ids in self._pending():
                if kept := [each for each in ids if each in held]:
                    await self._client.xclaim(
                        self._stream, self._group, self._consumer, 0, kept, idle=0, justid=True
                    )

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Do nothing: `close` gives back all that is still pending here."""

    async def refuse(self, deliveries: Sequence[Delivery], letters: Sequence[DeadLetter]) -> None:
        """Append each letter once, then acknowledge; see `EventSource.refuse`."""
        entries = [(each.key, each.encode(self._most_bytes)) for each in letters]
        await self.append_new(self._letters, entries)
        await self.acknowledge(deliveries)

    async def send(self, bodies: Sequence[bytes]) -> None:
        """Append events."""
        async with self._answering(), self._client.pipeline(transaction=False) as pipe:
            for body in bodies:
                pipe.xadd(self._stream, {_FIELD: body})
            await pipe.execute()

    async def lag(self) -> Lag:
        """Ask for the group's lag and its pending entries."""
        async with self._answering():
            try:
                groups = await self._client.xinfo_groups(self._stream)
            except redis.exceptions.ResponseError as error:
                if "no such key" not in str(error):
                    raise
                groups = []  # the next pull makes the stream again
        for group in groups:
            if group["name"] in (self._group, self._group.encode()):
                return Lag(group.get("lag"), group["pending"])
        return Lag()

    async def close(self) -> None:
        """Leave the group; what is pending here can be claimed by another consumer at once."""
        with contextlib.suppress(redis.exceptions.RedisError, OSError):
            if not await self._give_back():
                await self._client.xgroup_delconsumer(self._stream, self._group, self._consumer)
        await super().close()

    async def _give_back(self) -> int:
        """Make what is pending here look as old as what is claimed; tell how much that is."""
        given_back = 0
        async for ids in self._pending():
            await self._client.xclaim(
                self._stream, self._group, self._consumer, 0, ids, idle=self._claim_after_ms, justid=True
            )
            given_back += len(ids)
        return given_back

    async def _pending(self) -> AsyncIterator[list[Any]]:
        """Give the ids of what this consumer holds, the oldest first."""
        oldest = "-"
        while True:
            pending: Any = await self._client.xpending_range(
                self._stream, self._group, oldest, "+", _PENDING_AT_ONCE, consumername=self._consumer
            )
            if not pending:
                return
            ids = [each["message_id"] for each in pending]
            yield ids
            oldest = f"({ids[-1].decode()}"


class RedisDecisionSink(_RedisStreams):
    """Adds each decision once to a stream; see `DecisionSink`.

    The ids of all events ever decided are kept in a set beside the stream, whatever is trimmed from it.

    Parameters
    ----------
    config : RedisSink
        The stream.
    address : BrokerAddress
        The address and the credentials of the server.
    """

    def __init__(self, config: RedisSink, address: BrokerAddress) -> None:
        super().__init__(address)
        self._stream = config.stream

    async def decided(self, event_ids: Sequence[str]) -> Collection[str]:
        """Look the ids up in the set."""
        if not event_ids:
            return ()
        async with self._answering():
            known = await self._known(keys=[known_keys_of(self._stream)], args=list(event_ids))
        return {event_id.decode() for event_id in known}

    async def publish(self, decisions: Sequence[Entry]) -> int:
        """Append those that are new; see `DecisionSink.publish`."""
        return await self.append_new(self._stream, decisions)


def _deliveries(entries: Sequence[tuple[bytes, list[bytes] | None] | None]) -> list[Delivery]:
    """Take events out of entries as Redis gives them, each an id and the names and values of its fields."""
    return [
        Delivery(_body_of(entry[1]), entry[0], entry[0].decode())
        for entry in entries
        if entry and entry[1] is not None  # else trimmed from the stream while it was pending
    ]


def _body_of(fields: list[bytes]) -> bytes:
    body = fields[1] if fields else b""
    if len(fields) > 2:  # else the one field is the event, whatever its name
        body = dict(zip(fields[::2], fields[1::2], strict=True)).get(_FIELD.encode()) or body
    if not body.startswith(_FASTSTREAM_MARK):
        return body
    offset = len(_FASTSTREAM_MARK) + 2 + 4
    return body[int.from_bytes(body[offset : offset + 4], "big") :]
