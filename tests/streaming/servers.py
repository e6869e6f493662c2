"""Real brokers for the tests: those that run here, and own ones that a test may kill."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import pytest

from tests.streaming.certificates import Certificates

USER, PASSWORD = "ann", "p@ss:w/rd?1"
STANDARD = {"redis": 6379, "nats": 4222, "rabbitmq": 5672}


def require_answer(kind: str) -> None:
    """Skip where a broker does not answer at its standard port, or fail where it has to."""
    try:
        socket.create_connection(("127.0.0.1", STANDARD[kind]), timeout=2).close()
    except OSError as error:
        problem = f"{kind} does not answer at 127.0.0.1:{STANDARD[kind]}: {error}"
        if os.environ.get("TABLOOP_REQUIRE_SERVICES") == "1":
            pytest.fail(problem)
        pytest.skip(problem)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class OwnServer(ABC):
    """A broker in a process group of its own, with its data in a folder: killed, it is started again on them."""

    program: ClassVar[str]
    ready_s: ClassVar[float] = 10.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    @abstractmethod
    def url(self) -> str: ...

    @abstractmethod
    def command(self) -> list[str]: ...

    def environ(self) -> dict[str, str]:
        return {}

    def is_ready(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=0.5).close()
        except OSError:
            return False
        return True

    def start(self) -> None:
        with (self.folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                self.command(), stdout=output, stderr=output, env=os.environ | self.environ(),
                start_new_session=True,
            )  # fmt: skip
        wait_until(self.is_ready, self.ready_s * 6, f"{self.program} did not start: see {self.folder}")

    def kill(self) -> None:
        """SIGKILL the whole group."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class SecuredServer(OwnServer):
    """Asks for TLS, a user and a password, and takes no message above a size."""

    scheme: ClassVar[str]

    def __init__(self, folder: Path, certificates: Certificates, *, most_bytes: int) -> None:
        super().__init__(folder)
        self.certificates, self.most_bytes = certificates, most_bytes

    @property
    def url(self) -> str:
        return f"{self.scheme}://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}"


class RedisServer(OwnServer):
    program = "/usr/bin/redis-server"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [
            self.program, "--bind", "127.0.0.1", "--dir", str(self.folder), "--appendonly", "yes",
            "--save", "", *self.listening(),
        ]  # fmt: skip

    def listening(self) -> list[str]:
        return ["--port", str(self.port)]


class SecuredRedisServer(SecuredServer, RedisServer):
    scheme = "rediss"

    def listening(self) -> list[str]:
        files = self.certificates
        return [
            "--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no",
            "--tls-cert-file", str(files.cert), "--tls-key-file", str(files.key),
            "--tls-ca-cert-file", str(files.ca), "--proto-max-bulk-len", str(self.most_bytes),
            "--user", "default", "off", "--user", USER, "on", f">{PASSWORD}", "~*", "&*", "+@all",
        ]  # fmt: skip


class NatsServer(OwnServer):
    program = "/usr/sbin/nats-server"

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [self.program, "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder)]


class SecuredNatsServer(SecuredServer, NatsServer):
    scheme = "tls"

    def command(self) -> list[str]:
        files, settings = self.certificates, self.folder / "nats.conf"
        settings.write_text(
            f'authorization {{ user: {USER}, password: "{PASSWORD}" }}\n'
            f'tls {{ cert_file: "{files.cert}", key_file: "{files.key}" }}\n'
            f"max_payload: {self.most_bytes}\n"
        )
        return [*super().command(), "-c", str(settings)]


class RabbitMqServer(OwnServer):
    program = "/usr/lib/rabbitmq/bin/rabbitmq-server"
    ready_s = 20.0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._dist_port = free_port()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [self.program]

    def settings(self) -> str:
        return f"listeners.tcp.local = 127.0.0.1:{self.port}\n"

    def environ(self) -> dict[str, str]:
        plugins, settings = self.folder / "plugins", self.folder / "rabbitmq.conf"
        plugins.write_text("[].\n")
        settings.write_text(self.settings())
        return {
            "RABBITMQ_CONFIG_FILE": str(settings),
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"tabloop{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }


class SecuredRabbitMqServer(SecuredServer, RabbitMqServer):
    scheme = "amqps"

    def settings(self) -> str:
        files = self.certificates
        return (
            f"listeners.tcp = none\nlisteners.ssl.local = 127.0.0.1:{self.port}\n"
            f"ssl_options.cacertfile = {files.ca}\nssl_options.certfile = {files.cert}\n"
            f"ssl_options.keyfile = {files.key}\nssl_options.verify = verify_none\n"
            f"default_user = {USER}\ndefault_pass = {PASSWORD}\nmax_message_size = {self.most_bytes}\n"
        )


# From C: Python's own door to the mock cluster (`test.mock.num.brokers`) leaves each group waiting 3 s for members
_MOCK = """
import ctypes, pathlib, threading
import confluent_kafka

(library,) = (pathlib.Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs").glob("librdkafka-*")
kafka = ctypes.CDLL(str(library))
kafka.rd_kafka_new.restype = kafka.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
kafka.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
client = ctypes.c_void_p(kafka.rd_kafka_new(0, None, None, 0))
cluster = ctypes.c_void_p(kafka.rd_kafka_mock_cluster_new(client, 1))
kafka.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0)
print(kafka.rd_kafka_mock_cluster_bootstraps(cluster).decode(), flush=True)
threading.Event().wait()
"""


class KafkaMock(OwnServer):
    """librdkafka's own mock cluster; it keeps nothing when it is killed, so no test kills it."""

    program = sys.executable

    @property
    def url(self) -> str:
        return self._addresses()[0]

    def command(self) -> list[str]:
        return [self.program, "-c", _MOCK]

    def is_ready(self) -> bool:
        return bool(self._addresses())

    def _addresses(self) -> list[str]:
        output = (self.folder / "output.log").read_text()  # the library's own words stand in it as well
        return re.findall(r"^(127\.0\.0\.1:\d+)\n", output, flags=re.MULTILINE)


def wait_until(is_so: Callable[[], bool], timeout_s: float, what: str) -> None:
    end = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > end:
            raise AssertionError(what)
        time.sleep(0.02)
