"""One pool of processes over all (candidate, fold) tasks, the longest first; none where all are short."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from tabloop.cores import cpu_count
from tabloop.progress import PoolState
from tabloop.training.schedule import Follower, Schedule, Watcher
from tabloop.training.task import PROCESS_DIED, Task, TaskKey, TaskOutcome, Workbench, run_task
from tabloop.training.worker_server import interrupts_held, start_worker_server

_log = logging.getLogger(__name__)

_naming_main = threading.Lock()


@dataclass(frozen=True)
class LocalEngine:
    """Runs tasks in processes of this machine; implements `tabloop.training.engine.TaskEngine`.

    A task whose process died (out of memory, a crash in native code) has failed; the others go on. Where no
    processes can be had (no writable `/dev/shm`) tasks run here one after the other, and a warning says so.

    Attributes
    ----------
    workers : int, optional
        Processes. By default one for each core, and none where the work is expected to be done before they
        have started; but what is no part of scikit-learn always has processes, which it may bring down.
    """

    workers: int | None = None

    @property
    def cores(self) -> int:
        """How many cores the tasks have."""
        return self.workers or cpu_count()

    def run(
        self,
        bench: Workbench,
        tasks: Sequence[Task],
        *,
        expected: Mapping[TaskKey, float] | None = None,
        watch: Watcher | None = None,
        follow: Follower | None = None,
        until: float | None = None,
    ) -> list[TaskOutcome]:
        """Run tasks side by side, each on a core; the trees of a forest on more where cores would be idle."""
        schedule = Schedule(
            list(tasks),
            self.cores,
            bench.n_rows,
            bench.n_features,
            expected or {},
            follow=follow,
            until=until,
        )
        outcomes: dict[TaskKey, TaskOutcome] = {}
        if self.workers is None and schedule.is_short:
            _run_here(bench, schedule, outcomes, len(tasks), watch)
            return [outcomes[task.key] for task in tasks if task.key in outcomes]
        suspects: list[Task] = []
        n_workers = self.cores if follow is not None else min(self.cores, len(tasks))
        while (schedule.pending or suspects) and not schedule.is_over:
            # After a crash nobody knows whose fault it was: what was running runs again, one at a time
            alone = [suspects.pop(0)] if suspects else None
            suspects += _run_until_broken(bench, schedule, outcomes, n_workers, len(tasks), watch, alone)
        return [outcomes[task.key] for task in tasks if task.key in outcomes]


@contextlib.contextmanager
def _main_module_unnamed() -> Iterator[None]:
    """Let a process that starts not import the caller's script: it would train again, in each worker.

    `multiprocessing` names the main module to its children by these two attributes; our tasks need none of
    it, so that a script needs no `if __name__ == "__main__"`.
    """
    with _naming_main:
        main = sys.modules["__main__"].__dict__
        kept: dict[str, object] = {name: main[name] for name in ("__spec__", "__file__") if name in main}
        main.update(dict.fromkeys(kept))
        try:
            yield
        finally:
            main.update(kept)


def _start_worker() -> None:
    # a terminal interrupts every process of a command; the parent ends its workers itself
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # what libraries print, in Python or in C, is no part of the command's one JSON object
    os.dup2(2, 1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process with a parent that was killed: a worker holds both ends of its queue and waits on."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _end_workers() -> None:
    for process in multiprocessing.active_children():
        process.terminate()


def _open_pool(n_workers: int) -> ProcessPoolExecutor | None:
    """Open a pool of processes; give None, after a warning, where there can be none."""
    context = start_worker_server()
    try:
        return ProcessPoolExecutor(n_workers, mp_context=context, initializer=_start_worker)
    except OSError as error:
        _log.warning(
            "no worker processes, training goes on in this one, task by task: semaphores cannot be made "
            "(%s); a writable /dev/shm brings them",
            error,
        )
        return None


def _run_here(
    bench: Workbench,
    schedule: Schedule,
    outcomes: dict[TaskKey, TaskOutcome],
    total: int,
    watch: Watcher | None,
) -> None:
    """Run what is pending in this process, one after the other."""
    while schedule.pending and not schedule.is_over:
        task, threads = schedule.next()
        schedule.started(task, threads)
        if watch is not None:
            watch(PoolState(len(outcomes), total, (task.label,), schedule.left_s()))
        outcomes[task.key] = run_task(bench, task, threads)
        schedule.ended(outcomes[task.key])
    if watch is not None:
        watch(PoolState(len(outcomes), total, ()))


def _run_until_broken(
    bench: Workbench,
    schedule: Schedule,
    outcomes: dict[TaskKey, TaskOutcome],
    n_workers: int,
    total: int,
    watch: Watcher | None,
    alone: list[Task] | None,
) -> list[Task]:
    """Run what is pending (or one suspect alone); give back what was running when a process died."""
    executor = _open_pool(1 if alone else n_workers)
    if executor is None:
        _run_here(bench, schedule, outcomes, total, watch)
        return []
    running: dict[Future[TaskOutcome], Task] = {}

    def start() -> None:
        queue = alone if alone is not None else schedule.pending
        while queue and len(running) < (1 if alone is not None else n_workers) and schedule.free_cores > 0:
            task, threads = (queue.pop(0), 1) if alone is not None else schedule.next()
            schedule.started(task, threads)
            with interrupts_held(), _main_module_unnamed():
                running[executor.submit(run_task, bench, task, threads)] = task
        if watch is not None:
            labels = tuple(task.label for task in running.values())
            watch(PoolState(len(outcomes), total, labels, schedule.left_s()))

    is_suspect = alone is not None
    try:
        start()
        while running:
            finished, _ = wait(running, timeout=schedule.until_s, return_when=FIRST_COMPLETED)
            for future in finished:
                task = running[future]
                outcome = future.result()
                del running[future]
                outcomes[task.key] = outcome
                schedule.ended(outcome)
            if schedule.is_over:
                _end_workers()
                break
            start()
    except BrokenProcessPool:
        broken = list(running.values())
        schedule.running.clear()
        if not is_suspect and len(broken) > 1:
            return broken
        for task in broken:
            outcomes[task.key] = TaskOutcome(task, failure=PROCESS_DIED)
            schedule.followed(outcomes[task.key])
        return []
    except BaseException:
        _end_workers()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
    return []
