"""Redis Streams: a consumer group in, an append that knows its event ids out.

FastStream makes and names the connection. What it wraps around the reads is not used: its batch subscriber
starts a new group at the newest entry (events published before are never seen), takes over abandoned entries
one at a time, and decodes and encodes every body again before a handler sees it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Collection, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

import redis.exceptions
from faststream.redis import BinaryMessageFormatV1, RedisBroker

from tabloop.config.streaming import RedisSink, RedisSource
from tabloop.errors import BrokerUnavailableError
from tabloop.streaming.events import Delivery
from tabloop.streaming.ports import Entry, Lag

if TYPE_CHECKING:
    from redis.asyncio import Redis

_LOGGER = logging.getLogger(__name__)

# FastStream's field, which its publishers write and its subscribers read
_FIELD = "__data__"

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


def known_keys_of(stream: str) -> str:
    """Name the set of keys that a stream has had; the braces keep both in one slot of a cluster."""
    return f"{{{stream}}}:ids"


class _RedisStreams:
    """A connection and the append that keeps each key once."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._broker = RedisBroker(url, logger=_LOGGER)
        self._client: Redis | None = None

    @property
    def client(self) -> Redis:
        if self._client is None:
            raise BrokerUnavailableError("Redis: not connected")
        return self._client

    async def open(self) -> None:
        async with _answering():
            self._client = await self._broker.connect()
            await self._client.ping()
            self._append_new = self._client.register_script(_APPEND_NEW)
            self._known = self._client.register_script(_KNOWN)

    async def append_new(self, stream: str, entries: Sequence[Entry]) -> int:
        written = 0
        async with _answering():
            for start in range(0, len(entries), _SCRIPT_ENTRIES):
                part = [text for entry in entries[start : start + _SCRIPT_ENTRIES] for text in entry]
                written += int(await self._append_new(keys=[stream, known_keys_of(stream)], args=part))
        return written

    async def close(self) -> None:
        with contextlib.suppress(redis.exceptions.RedisError, OSError):
            await self._broker.stop()


class RedisEventSource(_RedisStreams):
    """Reads a stream as one consumer of a group; see `EventSource`.

    Parameters
    ----------
    config : RedisSource
        Stream, group and dead letters.
    url : str
        Of the server.
    dead_letters : bool, default=False
        Read the dead letters, in a group of their own that takes over at once.
    """

    def __init__(self, config: RedisSource, url: str, *, dead_letters: bool = False) -> None:
        super().__init__(url)
        self._stream = config.dead_letters if dead_letters else config.stream
        self._group = f"{config.group}.replay" if dead_letters else config.group
        self._letters = config.dead_letters
        self._is_replay = dead_letters
        # a name is one process's: what a dead one held is taken over, by whoever comes after it
        self._consumer = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._claim_after_ms = 0 if dead_letters else max(1, round(config.claim_after_s * 1000))
        self._claim_from: bytes | str | None = "0-0"
        self._next_claim_s = 0.0
        self.ended = False

    async def open(self) -> None:
        """Connect and make the group; see `EventSource.open`."""
        await super().open()
        async with _answering():
            try:
                await self.client.xgroup_create(self._stream, self._group, id="0", mkstream=True)
            except redis.exceptions.ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    async def pull(self, max_events: int, timeout_s: float) -> list[Delivery]:
        """Take over what others left behind, then read what is new; see `EventSource.pull`."""
        async with _answering():
            claimed = await self._claim(max_events)
            if claimed:
                return claimed
            streams: Any = await self.client.xreadgroup(
                self._group, self._consumer, {self._stream: ">"}, count=max_events,
                block=max(1, round(timeout_s * 1000)),
            )  # fmt: skip
            self.ended = self._is_replay and not streams
            return _deliveries(streams[0][1]) if streams else []

    async def _claim(self, max_events: int) -> list[Delivery]:
        now = monotonic()
        if self._claim_from is None or now < self._next_claim_s:
            return []
        cursor, entries, *_ = await self.client.xautoclaim(
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
        async with _answering():
            await self.client.xack(self._stream, self._group, *ids)
            if self._is_replay:
                await self.client.xdel(self._stream, *ids)

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Do nothing: what stays pending is claimed by another consumer after `claim_after_s`."""

    async def refuse(self, deliveries: Sequence[Delivery], letters: Sequence[Entry]) -> None:
        """Append each letter once, then acknowledge; see `EventSource.refuse`."""
        await self.append_new(self._letters, letters)
        await self.acknowledge(deliveries)

    async def send(self, bodies: Sequence[bytes]) -> None:
        """Append events."""
        async with _answering(), self.client.pipeline(transaction=False) as pipe:
            for body in bodies:
                pipe.xadd(self._stream, {_FIELD: body})
            await pipe.execute()

    async def lag(self) -> Lag:
        """Ask for the group's lag and its pending entries."""
        async with _answering():
            for group in await self.client.xinfo_groups(self._stream):
                if group["name"] in (self._group, self._group.encode()):
                    return Lag(group.get("lag"), group["pending"])
        return Lag()

    async def close(self) -> None:
        """Leave the group, unless something of this consumer's is still pending: that has to be claimed."""
        with contextlib.suppress(BrokerUnavailableError, redis.exceptions.RedisError, OSError):
            pending = await self.client.xpending_range(
                self._stream, self._group, "-", "+", 1, consumername=self._consumer
            )
            if not pending:
                await self.client.xgroup_delconsumer(self._stream, self._group, self._consumer)
        await super().close()


class RedisDecisionSink(_RedisStreams):
    """Adds each decision once to a stream; see `DecisionSink`.

    The ids of all events ever decided are kept in a set beside the stream, whatever is trimmed from it.

    Parameters
    ----------
    config : RedisSink
        The stream.
    url : str
        Of the server.
    """

    def __init__(self, config: RedisSink, url: str) -> None:
        super().__init__(url)
        self._stream = config.stream

    async def decided(self, event_ids: Sequence[str]) -> Collection[str]:
        """Look the ids up in the set."""
        if not event_ids:
            return ()
        async with _answering():
            known = await self._known(keys=[known_keys_of(self._stream)], args=list(event_ids))
        return {event_id.decode() for event_id in known}

    async def publish(self, decisions: Sequence[Entry]) -> int:
        """Append those that are new; see `DecisionSink.publish`."""
        return await self.append_new(self._stream, decisions)


def _deliveries(entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> list[Delivery]:
    return [
        Delivery(_body_of(fields), entry_id, entry_id.decode())
        for entry_id, fields in entries
        if fields is not None  # trimmed from the stream while it was pending
    ]


def _body_of(fields: dict[bytes, Any]) -> bytes:
    body: bytes = fields.get(_FIELD.encode()) or next(iter(fields.values()), b"")
    # FastStream's publishers put headers before the body
    return BinaryMessageFormatV1.parse(body)[0] if body.startswith(b"\x89BIN") else body


@contextlib.asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    """Name a server that does not answer, and one that cannot write."""
    try:
        yield
    except BrokerUnavailableError:
        raise
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError) as error:
        raise BrokerUnavailableError(f"Redis: {error}") from error
    except redis.exceptions.ResponseError as error:
        raise BrokerUnavailableError(f"Redis: {error}") from error
