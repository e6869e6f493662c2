"""A service that Python starts and stops: the same processes as those of `tabloop serve`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from html import escape
from types import TracebackType
from typing import Any, Self

import polars as pl

from tabloop.api.frames import Table, read_frame
from tabloop.api.html import titled
from tabloop.config.loading import Project as Settings
from tabloop.contract.feature_table import typed_columns
from tabloop.errors import MalformedBodyError, ServingError

_PROCESS = "tabloop.api.service_process"
_MOST_RECORDS = 500
_ANSWER_S = 60.0


class Service:
    """A running service; `Project.serve` starts one, the end of its `with` block or `stop` ends it.

    It also ends with the process that started it, however that ends.

    Parameters
    ----------
    settings : tabloop.config.loading.Project
        Every setting in force.
    host, port : str, int
        Where to listen; port 0 takes a free one.
    workers : int
        Processes that answer.
    key : str, optional
        What `predict` and `ask` send where the service asks for API keys.

    Attributes
    ----------
    url : str
        Where it answers.
    run_id : str
        The champion when it started; it follows the pointer.
    """

    def __init__(
        self, settings: Settings, *, host: str, port: int, workers: int, key: str | None = None
    ) -> None:
        self._settings, self._key = settings, key
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the service
        self._said = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", _PROCESS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        told = {
            "config": settings.config.to_json(),
            "config_path": str(settings.config_path.absolute()),
            "host": host,
            "port": port,
            "workers": workers,
        }
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdin.write(json.dumps(told).encode() + b"\n")
        self._process.stdin.flush()  # and it stays open: its end tells the service that we are gone
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {}
        if "url" not in answer:
            self.stop()
            raise ServingError(f"the service cannot start: {answer.get('error', self.log)}")
        self.url, self.run_id = str(answer["url"]), str(answer["run_id"])

    @property
    def log(self) -> str:
        """What its processes wrote, one JSON object a line."""
        if not self._log.closed:
            self._log.seek(0)
            self._said = self._log.read().decode(errors="replace")
        return self._said

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def predict(self, frame: Table) -> Any:
        """Ask for decisions over HTTP, as anybody would; they stand in the prediction log afterwards.

        Parameters
        ----------
        frame : pandas, Polars or Arrow frame with n_rows rows
            The contract's columns; others are not sent.

        Returns
        -------
        decisions : frame of the same kind with n_rows rows
            Probability and decision as `Model.decide` gives them, with `prediction_id` and `run_id`.

        Raises
        ------
        DataError
            If the columns are not the contract's, or it refuses a record; all problems in one message.
        ServingError
            If the service does not answer.
        """
        given = read_frame(frame)
        contract = self._settings.contract
        rows = typed_columns(contract, given.rows)
        answers = [
            answer
            for start in range(0, rows.height, _MOST_RECORDS)
            for answer in self.ask(
                "/batch_predict", {"records": rows.slice(start, _MOST_RECORDS).to_dicts()}
            )["predictions"]
        ]
        schema: dict[str, type[pl.DataType]] = {
            contract.probability_name: pl.Float64,
            contract.decision_name: pl.Int64,
            "prediction_id": pl.String,
            "run_id": pl.String,
        }
        return given.answer(pl.DataFrame(answers, schema=schema))

    def ask(self, path: str, body: object = None) -> Any:
        """Ask any of its paths, such as `/monitoring/drift`; with a body it is a POST.

        Parameters
        ----------
        path : str
            Below `url`.
        body : object, optional
            JSON-ready.

        Returns
        -------
        answer : object
            The JSON that came back.

        Raises
        ------
        MalformedBodyError
            If the service refuses what was asked; its problems are in the message.
        ServingError
            If it does not answer, or cannot.
        """
        request = urllib.request.Request(  # noqa: S310 - our own address
            self.url + path,
            data=None if body is None else json.dumps(body, default=_iso).encode(),
            headers={"Content-Type": "application/json"}
            | ({"X-API-Key": self._key} if self._key is not None else {}),
        )
        try:
            with _opener.open(request, timeout=_ANSWER_S) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            kind = MalformedBodyError if error.code < 500 else ServingError
            raise kind(f"{self.url}{path}: {error.code}: {said}") from error
        except OSError as error:
            raise ServingError(f"{self.url}{path}: does not answer: {error}") from error

    def stop(self) -> None:
        """Stop it: requests that are under way are answered first."""
        process = self._process
        if process.poll() is None and process.stdin is not None:
            process.stdin.close()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        _ = self.log  # it can be read after the end
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Service of run {self.run_id}: {'at ' + self.url if self.is_running else 'stopped'}>"

    def _repr_html_(self) -> str:
        if not self.is_running:
            return titled("service", f"of run {self.run_id}: stopped")
        url = escape(self.url)
        links = " &middot; ".join(f'<a href="{url}{path}">{path}</a>' for path in ("/", "/docs", "/health"))
        return titled("service", f"of run {self.run_id} at {self.url}", f"<div>{links}</div>")


# no proxy of the environment stands between this process and its own service
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _iso(moment: Any) -> str:
    return str(moment.isoformat())
