"""Who may ask: API keys with roles, compared in constant time, read again when their file changes."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from tabloop.deployment.off_loop import OffLoop
from tabloop.errors import ConfigError

Role = Literal["predict", "read", "operate"]

_log = logging.getLogger("tabloop.serving")

_ROLES: tuple[str, ...] = get_args(Role)
_LEAST_KEY_LENGTH = 16
#: A file of keys is far smaller: a larger one was named by mistake.
_LARGEST_FILE_BYTES = 1 << 20
#: How often the file is looked at, and how long a look may take.
_LOOK_AGAIN_S = 1.0
_LONGEST_LOOK_S = 5.0


class ApiKeys:
    r"""The keys in force.

    Parameters
    ----------
    keys : mapping of bytes to frozenset of str
        SHA-256 digest of each key, with its roles.
    path : pathlib.Path, optional
        The file to look at again; what it held stays in force while it cannot be read.
    fixed : mapping, optional
        Keys that do not come from the file.

    Examples
    --------
    >>> keys = ApiKeys(parse_keys("predict,read 0123456789abcdef\n", "here"))
    >>> sorted(keys.roles_of("0123456789abcdef")), sorted(keys.roles_of("0123456789abcdeX"))
    (['predict', 'read'], [])
    """

    def __init__(
        self,
        keys: Mapping[bytes, frozenset[str]],
        *,
        path: Path | None = None,
        fixed: Mapping[bytes, frozenset[str]] | None = None,
    ) -> None:
        self._keys = dict(keys)
        self._fixed = dict(fixed or {})
        self._path = path
        # no state at all, so that the first look reads again: the file may have changed since it was read
        self._seen: tuple[int, ...] | None = ()
        self._looking = OffLoop(self._look, _LONGEST_LOOK_S)
        self.problem: str | None = None

    def roles_of(self, key: str) -> frozenset[str]:
        """Give a key's roles, none for an unknown one.

        Every known key is compared, each in constant time, so that the time tells nothing.
        """
        presented = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        roles: frozenset[str] = frozenset()
        for digest, allowed in self._keys.items():
            if hmac.compare_digest(digest, presented):
                roles = allowed
        return roles

    async def follow(self) -> None:
        """Look at the file again and again; no request waits for it."""
        while self._path is not None:
            await self.look_again()
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def look_again(self) -> None:
        """Read the file if it changed; the keys before stay in force while it cannot be read."""
        before = self.problem
        try:
            found = await self._looking.result()
        except TimeoutError:
            self.problem = f"{self._path}: cannot be read: it did not answer for {_LONGEST_LOOK_S:g} s"
        except ConfigError as error:
            self.problem = str(error)
        else:
            self.problem = None
            if found is not None:
                self._keys = self._fixed | found
        if self.problem is not None and before is None:
            _log.error("%s; the keys before stay in force", self.problem)

    def forget_file(self) -> None:
        """Have the next look read the file whether it changed or not."""
        self._seen = ()

    def _look(self) -> dict[bytes, frozenset[str]] | None:
        """Give the keys of the file; None where it is the one that was read."""
        if self._path is None:
            return None
        state = _state_of(self._path)
        if state == self._seen:
            return None
        keys = read_keys(self._path)
        self._seen = state
        return keys


def load_keys(
    env_name: str | None, path: Path | None, environ: Mapping[str, str] | None = None
) -> ApiKeys | None:
    """Load the keys that the config names; None where it names none, and everybody may ask.

    Raises
    ------
    ConfigError
        If the variable is not set, the file cannot be read, or a line is wrong.
    """
    if env_name is None and path is None:
        return None
    fixed: dict[bytes, frozenset[str]] = {}
    if env_name is not None:
        text = (os.environ if environ is None else environ).get(env_name)
        if not text:
            raise ConfigError(f"serving.api_keys_env: the environment variable {env_name} is not set")
        fixed = parse_keys(text, f"the environment variable {env_name}")
    return ApiKeys(fixed | (read_keys(path) if path is not None else {}), path=path, fixed=fixed)


def read_keys(path: Path) -> dict[bytes, frozenset[str]]:
    """Read a key file, a regular one of 1 MiB at most; see `parse_keys`."""
    try:
        # a pipe or a device that nobody writes to would not even open
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError(f"serving.api_keys_file: {path}: not a regular file")
            content = file.read(_LARGEST_FILE_BYTES + 1)
        if len(content) > _LARGEST_FILE_BYTES:
            raise ConfigError(f"serving.api_keys_file: {path}: larger than {_LARGEST_FILE_BYTES:,} bytes")
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"serving.api_keys_file: {path}: cannot be read: {error}") from error
    return parse_keys(text, str(path))


def parse_keys(text: str, where: str) -> dict[bytes, frozenset[str]]:
    """Read keys, one a line: roles joined by commas, a space, the key or `sha256:` and its digest.

    Empty lines and lines that begin with `#` are left out.

    Raises
    ------
    ConfigError
        If a line is wrong, or there is no key at all; no message holds a key.
    """
    keys: dict[bytes, frozenset[str]] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        roles = frozenset(words[0].split(","))
        if len(words) != 2 or not roles <= set(_ROLES):
            problems.append(f"line {number}: expected `role[,role] key` with roles {', '.join(_ROLES)}")
            continue
        digest = _digest(words[1])
        if digest is None:
            problems.append(
                f"line {number}: expected a key of at least {_LEAST_KEY_LENGTH} characters, "
                "or sha256: with 64 hexadecimal digits"
            )
            continue
        keys[digest] = keys.get(digest, frozenset()) | roles
    if not problems and not keys:
        problems.append("holds no key; expected lines of `role[,role] key`")
    if problems:
        raise ConfigError(f"{where}: the API keys cannot be read\n  " + "\n  ".join(problems))
    return keys


def _digest(key: str) -> bytes | None:
    if key.startswith("sha256:"):
        try:
            digest = bytes.fromhex(key.removeprefix("sha256:"))
        except ValueError:
            return None
        return digest if len(digest) == hashlib.sha256().digest_size else None
    return hashlib.sha256(key.encode()).digest() if len(key) >= _LEAST_KEY_LENGTH else None


def _state_of(path: Path | None) -> tuple[int, int, int] | None:
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
