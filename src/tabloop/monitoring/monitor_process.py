"""The monitor process: follows the prediction log and answers about it, for every worker.

`python -m tabloop.monitoring.monitor_process`, started by the supervisor. It alone reads the log, so that
statistics take no turn from a request, and every worker gives the same answer.

A question is a line of JSON (`question`, and the `bytes` of the body that follows); so is the head of an
answer (`bytes`, and `error` with the class of the error when the body is its message).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
from pathlib import Path

from tabloop.artifacts.documents.document import answer_bytes
from tabloop.deployment import metrics
from tabloop.deployment.child_process import ChildSettings, starting, stop_with_parent
from tabloop.errors import TabloopError
from tabloop.monitoring.service_monitor import ServiceMonitor

_LOG = logging.getLogger("tabloop.monitor")

_LONGEST_QUESTION_BYTES = 64 << 20


def _answered(monitor: ServiceMonitor, question: str, body: bytes) -> tuple[dict[str, str | int], bytes]:
    """Answer a question; an error is answered with its class and its message."""
    try:
        text = answer_bytes(monitor.answer(question, body))  # a figure that is not finite becomes null
        return {"bytes": len(text)}, text
    except TabloopError as error:
        text = str(error).encode("utf-8", "backslashreplace")
        return {"error": type(error).__name__, "bytes": len(text)}, text
    except Exception:
        _LOG.exception("a defect of the monitor")
        return {"error": "defect", "bytes": 0}, b""


async def run(settings: ChildSettings) -> None:
    """Answer until SIGTERM, or until the parent is gone."""
    if settings.values["replaces_hung"]:
        metrics.note_hang("monitor")
    socket_path = Path(settings.values["monitor_socket"])
    monitor = ServiceMonitor(settings.project)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    stop_with_parent(loop, stopped.set)

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with (
            contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError),
            contextlib.closing(writer),
        ):
            asked = json.loads(await reader.readline())
            body = await reader.readexactly(asked["bytes"])
            head, text = _answered(monitor, asked["question"], body)
            writer.write(json.dumps(head).encode() + b"\n" + text)
            await writer.drain()

    socket_path.unlink(missing_ok=True)  # left by a monitor that was killed
    server = await asyncio.start_unix_server(one, socket_path, limit=_LONGEST_QUESTION_BYTES)
    tasks = [loop.create_task(monitor.follow()), loop.create_task(settings.tell_ready())]
    await stopped.wait()
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    monitor.close()


def main() -> None:
    """Run until told to stop."""
    with starting() as settings:
        asyncio.run(run(settings))


if __name__ == "__main__":
    main()
