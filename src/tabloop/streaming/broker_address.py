"""Where a broker is and how to prove who we are to it: read from the environment, never from the config."""

from __future__ import annotations

import contextlib
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from tabloop.config.streaming import DEFAULT_URLS, StreamSink, StreamSource
from tabloop.errors import ConfigError
from tabloop.pages.cite import cite

# The schemes of each kind, without and with TLS
_SCHEMES = {"redis": ("redis", "rediss"), "nats": ("nats", "tls"), "rabbitmq": ("amqp", "amqps")}
_PORTS = {"redis": 6379, "rediss": 6379, "nats": 4222, "tls": 4222, "amqp": 5672, "amqps": 5671}
_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_HIDDEN = "what it holds is not repeated here, a password may be in it"


@dataclass(frozen=True)
class BrokerAddress:
    """Where a broker is, with what it asks for before it answers.

    Attributes
    ----------
    variable : str
        The environment variable that holds the URL; messages name it.
    servers : tuple of str
        URLs without user and password, or `host:port` for Kafka: safe to show.
    user, password : str
        Empty where the broker asks for none. The password is not part of the representation.
    is_encrypted : bool
        Whether the connection has to use TLS.
    ca_file, cert_file, key_file : str
        Files in PEM: who may sign the broker's certificate (by default the system's authorities), and a
        certificate of our own. Empty where not set.
    sasl_mechanism : str
        The mechanism by which Kafka checks user and password.
    """

    variable: str
    servers: tuple[str, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    is_encrypted: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    sasl_mechanism: str = "PLAIN"

    @property
    def shown(self) -> str:
        """Name the servers in a message."""
        return ", ".join(self.servers)

    def ssl_context(self) -> ssl.SSLContext | None:
        """Make the context that checks the broker's certificate and name; None without TLS.

        Raises
        ------
        ConfigError
            If one of the files holds no certificate or key.
        """
        if not self.is_encrypted:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file or None)
        except (ssl.SSLError, OSError) as error:
            files = ", ".join(filter(None, (self.ca_file, self.cert_file, self.key_file)))
            raise ConfigError(f"{self.variable}: TLS cannot use {files}: {error}") from error
        return context

    def refused(self, error: BaseException) -> ConfigError:
        """Describe a broker that does not take our user, password or certificate: trying again is no use."""
        return ConfigError(
            f"{self.shown} refuses the user, the password or the TLS settings of {self.variable}: {error}; "
            f"see {cite('streams', 'Passwords and TLS')}"
        )


def address_of(config: StreamSource | StreamSink, environ: Mapping[str, str] = os.environ) -> BrokerAddress:
    """Read a broker's address: the variable that the config names, or this machine where it names none.

    Beside `NAME_URL` (Kafka: `NAME_SERVERS`) stand `NAME_USER`, `NAME_PASSWORD`, `NAME_CA_FILE`,
    `NAME_CERT_FILE` and `NAME_KEY_FILE`, for Kafka also `NAME_SECURITY_PROTOCOL` and `NAME_SASL_MECHANISM`.

    Raises
    ------
    ConfigError
        If the config names a variable of its own that is not set, or one holds what cannot be used. No
        message repeats any part of a URL that could not be read.

    Examples
    --------
    >>> from tabloop.config.streaming import RedisSource
    >>> address_of(RedisSource(kind="redis"), {}).servers
    ('redis://127.0.0.1:6379',)
    >>> address = address_of(RedisSource(kind="redis"), {"TABLOOP_REDIS_URL": "rediss://ann:p%40ss@cache:7000/2"})
    >>> address.servers, address.user, address.is_encrypted
    (('rediss://cache:7000/2',), 'ann', True)
    """
    name: str = getattr(config, "url_env", "")
    text = environ.get(name, "").strip()
    if not text and "url_env" in config.model_fields_set:
        raise ConfigError(f"stream.*.url_env: the environment variable {name} is not set; export {name}=URL")
    text = text or DEFAULT_URLS[config.kind]
    prefix = re.sub(r"_(URL|SERVERS)$", "", name)
    if config.kind == "kafka":
        return _kafka_address(name, prefix, text, environ)
    return _url_address(name, prefix, config.kind, text, environ)


def _url_address(name: str, prefix: str, kind: str, text: str, environ: Mapping[str, str]) -> BrokerAddress:
    several = text.split(",") if kind == "nats" else [text]
    parts = [_split(name, kind, each) for each in several]
    users = {(unquote(each.username or ""), unquote(each.password or "")) for each in parts}
    schemes = {each.scheme for each in parts}
    if len(users) > 1 or len(schemes) > 1:
        raise ConfigError(f"{name}: its servers have different users or schemes, expected the same for all")
    ((user, password),) = users
    return BrokerAddress(
        name,
        tuple(_without_user(each) for each in parts),
        environ.get(f"{prefix}_USER", user),
        environ.get(f"{prefix}_PASSWORD", password),
        parts[0].scheme == _SCHEMES[kind][1],
        *_files(prefix, environ),
    )


def _split(name: str, kind: str, text: str) -> SplitResult:
    """Take a URL apart; what does not fit is said in general words only."""
    plain, encrypted = _SCHEMES[kind]
    expected = f"expected {plain}://[user:password@]host[:port] or {encrypted}:// for TLS; {_HIDDEN}"
    url, port = urlsplit(""), None
    # suppressed, since the error would repeat the text that it could not read
    with contextlib.suppress(ValueError):
        url = urlsplit(text.strip())
    with contextlib.suppress(ValueError):
        port = url.port or _PORTS.get(url.scheme)
    if url.scheme not in (plain, encrypted):
        raise ConfigError(
            f"{name}: no {kind} URL: its beginning is not {plain}:// or {encrypted}://; {expected}"
        )
    wrong = [
        (not url.hostname or not re.fullmatch(r"[A-Za-z0-9._:-]+", url.hostname), "it has no usable host"),
        (not port, "its port is no number from 1 to 65535"),
        ("@" in url.path + url.query + url.fragment, "a / ? or # stands before the @"),
        (bool(url.fragment) or (url.query and kind != "rabbitmq"), "there is something behind the address"),
        (kind == "redis" and not re.fullmatch(r"/?[0-9]*", url.path), "its path is no number of a database"),
        (kind == "nats" and url.path not in ("", "/"), "it has a path"),
    ]
    problems = [problem for is_wrong, problem in wrong if is_wrong]
    if problems:
        raise ConfigError(
            f"{name}: no {kind} URL: {', '.join(problems)} (in a password, / ? # @ : % are written as "
            f"%2F %3F %23 %40 %3A %25); {expected}"
        )
    return url


def _without_user(url: SplitResult) -> str:
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return url._replace(netloc=f"{host}:{url.port or _PORTS[url.scheme]}").geturl()


def _kafka_address(name: str, prefix: str, text: str, environ: Mapping[str, str]) -> BrokerAddress:
    servers = tuple(each.strip() for each in text.split(","))
    if not all((found := _SERVER.fullmatch(each)) and 0 < int(found[2]) < 65536 for each in servers):
        raise ConfigError(
            f"{name}: expected host:port[,host:port], the user apart in {prefix}_USER; {_HIDDEN}"
        )
    user, password = environ.get(f"{prefix}_USER", ""), environ.get(f"{prefix}_PASSWORD", "")
    files = _files(prefix, environ)
    guessed = ("SASL_" if user else "") + ("SSL" if user or any(files) else "PLAINTEXT")
    protocol = _one_of(f"{prefix}_SECURITY_PROTOCOL", guessed, _PROTOCOLS, environ)
    mechanism = _one_of(f"{prefix}_SASL_MECHANISM", "PLAIN", _MECHANISMS, environ)
    if bool(user) != protocol.startswith("SASL"):
        raise ConfigError(
            f"{prefix}_SECURITY_PROTOCOL is {protocol} and {prefix}_USER is {'set' if user else 'not set'}: "
            "SASL needs a user, and a user needs SASL"
        )
    return BrokerAddress(name, servers, user, password, protocol.endswith("SSL"), *files, mechanism)


def _one_of(variable: str, default: str, known: tuple[str, ...], environ: Mapping[str, str]) -> str:
    found = environ.get(variable, "").upper() or default
    if found not in known:
        raise ConfigError(f"{variable}: got {found[:40]!r}, expected one of {', '.join(known)}")
    return found


def _files(prefix: str, environ: Mapping[str, str]) -> tuple[str, str, str]:
    files = {name: environ.get(f"{prefix}_{name}", "") for name in ("CA_FILE", "CERT_FILE", "KEY_FILE")}
    missing = [
        f"{prefix}_{name}: no file {path!r}"
        for name, path in files.items()
        if path and not Path(path).is_file()
    ]
    if missing:
        raise ConfigError("; ".join(missing))
    return files["CA_FILE"], files["CERT_FILE"], files["KEY_FILE"]
