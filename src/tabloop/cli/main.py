"""The `tabloop` command: its groups, its exit codes and how errors reach a person."""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence

import click

from tabloop import __version__
from tabloop.cli.commands import Commands
from tabloop.cli.completion_commands import completion
from tabloop.cli.data_commands import contract, data, init
from tabloop.cli.docs_command import docs
from tabloop.cli.doctor_commands import doctor
from tabloop.cli.explain_command import explain
from tabloop.cli.feedback_commands import feedback
from tabloop.cli.learning_curve_command import learning_curve
from tabloop.cli.log_commands import log
from tabloop.cli.monitor_commands import drift, monitor
from tabloop.cli.publish_commands import publish
from tabloop.cli.remote_commands import promote, pull, push
from tabloop.cli.report_commands import report
from tabloop.cli.retrain_commands import retrain
from tabloop.cli.run_commands import calibrate, config, release, reproduce, run, train
from tabloop.cli.runs_commands import runs
from tabloop.cli.score_command import score
from tabloop.cli.serve_commands import serve
from tabloop.cli.stage_commands import benchmark, export, parity, quantize, rollback, tradeoffs
from tabloop.cli.stream_commands import stream
from tabloop.errors import CheckFailedError, TabloopError
from tabloop.extras import is_optional, missing_extra

_LEAST_TEMPORARY_BYTES = 1 << 20

EXIT_CHECK_FAILED = 1
EXIT_WRONG_INPUT = 2
EXIT_DEFECT = 3
EXIT_INTERRUPTED = 130


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 a check said no, 2 wrong usage, config or input, 3 a defect of tabloop, "
    "130 interrupted.",
)
@click.version_option(__version__, prog_name="tabloop")
def tabloop() -> None:
    """Take a table with a 0/1 target through its whole life, from one config.yaml.

    \b
    First steps:
      tabloop init customers.csv --target churned   writes config.yaml for your table
      tabloop run                                   trains, judges and releases a model
      tabloop runs show                             says what the newest run is worth
    """  # noqa: D301 - click reads the backspace


COMMANDS = (
    publish, push, pull, promote,
    run, init, train, calibrate, export, quantize, parity, benchmark, tradeoffs, release, rollback, score,
    explain, serve, stream, monitor, drift, retrain,
    learning_curve, runs, report, reproduce, feedback, data, contract, config, log, docs, doctor, completion,
)  # fmt: skip
for command in COMMANDS:
    tabloop.add_command(command)


_OBJECTS_BETWEEN_COLLECTIONS = 50_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        The arguments of the command; by default those of the process.
    """
    # what imports and models make stays: looking through it again and again is a tenth of a short command
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    as_json = "--json" in (sys.argv[1:] if arguments is None else arguments)
    with _interrupts_repeated():
        code = _run(arguments, as_json)
    sys.exit(code)


@contextlib.contextmanager
def _interrupts_repeated() -> Iterator[None]:
    """Repeat an interrupt that fell into a finalizer, or between imports, where Python passes over it."""
    before = sys.unraisablehook

    def hear(unraisable: sys.UnraisableHookArgs) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        else:
            before(unraisable)

    sys.unraisablehook = hear
    try:
        yield
    finally:
        sys.unraisablehook = before


def _run(arguments: Sequence[str] | None, as_json: bool) -> int:
    try:
        code = tabloop.main(args=arguments, prog_name="tabloop", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (click.Abort, KeyboardInterrupt):
        return _fail(EXIT_INTERRUPTED, "Interrupted", "interrupted; what was finished is kept", as_json)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return EXIT_WRONG_INPUT
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(error.ctx.get_usage(), err=True)
        return _fail(EXIT_WRONG_INPUT, "UsageError", error.format_message(), as_json)
    except TabloopError as error:
        code = EXIT_CHECK_FAILED if isinstance(error, CheckFailedError) else EXIT_WRONG_INPUT
        return _fail(code, type(error).__name__, str(error), as_json, error.report)
    except SystemExit as request:
        # click exits so for a closed pipe alone: the reader has gone, and nothing failed
        return 0 if request.code == 1 else int(request.code or 0)
    except BrokenPipeError:
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        said = f"{where}{error.strerror or error}{_full_folder(error)}"
        return _fail(EXIT_WRONG_INPUT, type(error).__name__, said, as_json)
    except ModuleNotFoundError as error:
        if not is_optional(error.name or ""):
            return _fail_as_defect(error, as_json)
        missing = missing_extra(error, "this")
        return _fail(EXIT_WRONG_INPUT, type(missing).__name__, str(missing), as_json)
    except Exception as error:
        return _fail_as_defect(error, as_json)


def _full_folder(error: OSError) -> str:
    """Name the folder of temporary files where it is full and the error names none."""
    if error.filename or not (error.errno == errno.ENOSPC or f"os error {errno.ENOSPC}" in str(error)):
        return ""
    folder = tempfile.gettempdir()
    if shutil.disk_usage(folder).free >= _LEAST_TEMPORARY_BYTES:
        return ""
    return f"; there is no room for temporary files in {folder}: free some, or set TMPDIR to another folder"


def _fail_as_defect(error: Exception, as_json: bool) -> int:
    logging.getLogger("tabloop").exception("a defect of tabloop's own")
    message = f"{error}\nThis is a defect: please report the traceback."
    return _fail(EXIT_DEFECT, type(error).__name__, message, as_json)


def _fail(code: int, kind: str, message: str, as_json: bool, report: object = None) -> int:
    click.echo(f"tabloop: {message}", err=True)
    if as_json:
        from tabloop.cli.output import write_json

        write_json(report or {}, {"error": {"type": kind, "message": message}, "exit_code": code})
    return code
