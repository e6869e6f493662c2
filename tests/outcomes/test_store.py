"""The feedback store: nothing twice, nothing lost, whatever happens to the processes that write."""

from __future__ import annotations

import random
import resource
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabloop.artifacts.layout import FEEDBACK
from tabloop.errors import ArtifactError
from tabloop.outcomes.index import OutcomeIndex
from tabloop.outcomes.line import decode_outcome, encode_outcome
from tabloop.outcomes.outcome import Outcome, prediction_time_ms
from tabloop.outcomes.store import OutcomeCount, OutcomeStore

TIME = "2026-01-31T11:00:00.000000Z"
START_MS = 1_767_225_600_000


def prediction_id(number: int) -> str:
    """The id of a prediction made `number` milliseconds after the start; it may end in zero bytes."""
    return str(uuid.UUID(int=(START_MS + number << 80) | (7 << 76) | (2 << 62) | (number % 3 << 32)))


def outcomes(labels: dict[int, int]) -> list[Outcome]:
    return [Outcome(prediction_id(number), label, TIME) for number, label in labels.items()]


def index_of(folder: Path) -> OutcomeIndex:
    index = OutcomeIndex(folder / FEEDBACK)
    index.refresh()
    return index


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    store = OutcomeStore(tmp_path)
    assert store.append(outcomes({1: 1, 2: 0}), source="a") == OutcomeCount(new=2)
    content = store.path.read_bytes()
    assert store.append(outcomes({2: 0, 1: 1}), source="b") == OutcomeCount(duplicates=2)
    assert OutcomeStore(tmp_path).append(outcomes({1: 1}), source="c") == OutcomeCount(duplicates=1)
    assert store.path.read_bytes() == content
    assert store.append([], source="d") == OutcomeCount()


def test_a_later_label_corrects_an_earlier_one(tmp_path: Path) -> None:
    store = OutcomeStore(tmp_path)
    store.append(outcomes({1: 1, 2: 0}), source="a")
    assert store.append(outcomes({1: 0, 3: 1}), source="b") == OutcomeCount(new=1, corrections=1)
    # and within one batch
    again = [Outcome(prediction_id(9), label, TIME) for label in (0, 1, 1)]
    assert store.append(again, source="c") == OutcomeCount(new=1, corrections=1, duplicates=1)
    found = index_of(tmp_path).find([prediction_id(n) for n in (1, 2, 3, 4, 9)])
    assert found.label.tolist() == [0, 0, 1, -1, 1]
    assert found.time_us.tolist() == [1_769_857_200_000_000] * 3 + [0, 1_769_857_200_000_000]


@settings(max_examples=40, deadline=None)
@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), max_size=12), min_size=1, max_size=8
    ),
    refreshes=st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_the_index_is_a_dictionary_of_the_latest(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[int, int]]], refreshes: list[bool]
) -> None:
    folder = tmp_path_factory.mktemp("index")
    store, index = OutcomeStore(folder), OutcomeIndex(folder / FEEDBACK)
    latest: dict[int, int] = {}
    for batch, refresh in zip(batches, refreshes, strict=False):
        store.append([Outcome(prediction_id(n), label, TIME) for n, label in batch], source="x")
        latest.update(batch)
        if refresh:
            index.refresh()
    index.refresh()
    asked = [prediction_id(number) for number in range(14)]
    assert index.find(asked).label.tolist() == [latest.get(number, -1) for number in range(14)]
    early = [label for number, label in latest.items() if number < 8]
    assert index.count_predicted_before((START_MS + 8) * 1000) == (len(early), sum(early))
    assert index.first_id == min(map(prediction_id, latest), default=index.first_id)
    assert len(index) == len(latest)


def test_an_id_tells_its_time() -> None:
    assert prediction_time_ms(prediction_id(5)) == START_MS + 5


def test_nothing_written_is_nothing_known(tmp_path: Path) -> None:
    index = index_of(tmp_path)
    assert len(index) == 0
    assert index.find([prediction_id(1)]).label.tolist() == [-1]
    assert index.find([]).label.tolist() == []
    assert index.count_predicted_before(2**62) == (0, 0)
    assert index.weeks() == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cut", [1, 30, 130])
def test_a_torn_last_line_is_mended(tmp_path: Path, cut: int) -> None:
    store = OutcomeStore(tmp_path)
    store.append(outcomes({1: 1, 2: 0}), source="a")
    whole = store.path.read_bytes()
    store.path.write_bytes(whole[:-cut])
    lost = 0 if cut == 1 else 1  # without its end alone it is whole
    assert len(index_of(tmp_path)) == 1
    assert store.append(outcomes({2: 0, 3: 1}), source="b").new == 1 + lost
    index = index_of(tmp_path)
    assert index.find([prediction_id(n) for n in (1, 2, 3)]).label.tolist() == [1, 0, 1]


def test_a_damaged_line_spoils_only_itself(tmp_path: Path) -> None:
    store = OutcomeStore(tmp_path)
    store.append(outcomes({1: 1, 2: 1, 3: 1}), source="a")
    lines = store.path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"label":1', b'"label":0')
    store.path.write_bytes(b"".join(lines))
    index = index_of(tmp_path)
    assert index.find([prediction_id(n) for n in (1, 2, 3)]).label.tolist() == [1, -1, 1]
    # handing it in again heals it
    assert OutcomeStore(tmp_path).append(outcomes({2: 1}), source="b").new == 1


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(line: bytes) -> None:
    assert decode_outcome(line) is None


def test_a_line_is_read_as_it_was_written() -> None:
    line = encode_outcome(Outcome(prediction_id(7), 0, TIME), 'a "quoted"\n süß name')
    read = decode_outcome(line.rstrip(b"\n"))
    assert line.count(b"\n") == 1
    assert read is not None
    assert (read.key, read.label) == (uuid.UUID(prediction_id(7)).bytes, 0)


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    store, index = OutcomeStore(tmp_path), OutcomeIndex(tmp_path / FEEDBACK)
    store.append(outcomes({1: 1, 2: 1}), source="a")
    index.refresh()
    assert len(index) == 2
    store.path.unlink()
    assert store.append(outcomes({2: 0}), source="b") == OutcomeCount(new=1)
    index.refresh()
    assert len(index) == 1
    store.path.unlink()
    index.refresh()
    assert len(index) == 0


SCRIPT = textwrap.dedent("""
    import sys
    from pathlib import Path
    from tabloop.outcomes.store import OutcomeStore
    from tabloop.outcomes.outcome import Outcome
    import importlib.util
    spec = importlib.util.spec_from_file_location("ids", sys.argv[2])
    ids = importlib.util.module_from_spec(spec)
    sys.modules["ids"] = ids  # dataclasses and hypothesis look there
    spec.loader.exec_module(ids)
    store = OutcomeStore(Path(sys.argv[1]))
    first, last, step, label = map(int, sys.argv[3:7])
    total = None
    for start in range(first, last, step):
        batch = {n: label for n in range(start, min(last, start + step))}
        count = store.append(ids.outcomes(batch), source="script")
        total = count if total is None else total + count
        print(start, flush=True)
    print(total.new, total.corrections, total.duplicates, flush=True)
""")


@pytest.fixture
def writer(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a process that hands in outcomes of a range of predictions, batch by batch."""

    def start(first: int, last: int, step: int, label: int = 1) -> subprocess.Popen[str]:
        arguments = [str(tmp_path), __file__, *map(str, (first, last, step, label))]
        return subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], stdout=subprocess.PIPE, text=True)

    return start


def test_two_processes_at_once(tmp_path: Path, writer: Callable[..., subprocess.Popen[str]]) -> None:
    """They share half of their outcomes; each is new to exactly one of them."""
    one, other = writer(0, 3000, 50), writer(1500, 4500, 50)
    counts = [process.communicate(timeout=120)[0].splitlines()[-1].split() for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0)
    assert sum(int(count[0]) for count in counts) == 4500
    assert sum(int(count[2]) for count in counts) == 1500
    index = index_of(tmp_path)
    assert len(index) == len((tmp_path / "feedback.jsonl").read_bytes().splitlines()) == 4500


def test_a_kill_in_the_middle_loses_nothing_acknowledged(
    tmp_path: Path, writer: Callable[..., subprocess.Popen[str]]
) -> None:
    process = writer(0, 200_000, 400)
    assert process.stdout is not None
    acknowledged = -1
    for _ in range(3 + random.Random(0).randrange(3)):
        acknowledged = int(process.stdout.readline())
    time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().split()
    process.wait()
    process.stdout.close()
    acknowledged = max(acknowledged, *map(int, rest), 0)
    before = index_of(tmp_path)
    known = before.find([prediction_id(n) for n in range(acknowledged + 400)]).label
    assert (known == 1).all()
    # the lock went with its holder, and handing in everything again finishes the work
    total = acknowledged + 2000
    count = OutcomeStore(tmp_path).append(outcomes(dict.fromkeys(range(total), 1)), source="again")
    assert count.corrections == 0
    assert count.new + count.duplicates == total
    index = index_of(tmp_path)
    assert (index.find([prediction_id(n) for n in range(total)]).label == 1).all()


def test_a_full_disk_keeps_nothing_of_the_batch(tmp_path: Path) -> None:
    """The kernel refuses to let the file grow, in the middle of a batch."""
    store = OutcomeStore(tmp_path)
    store.append(outcomes({1: 1}), source="a")
    before = store.path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 1000, limits[1]))
    try:
        with pytest.raises(ArtifactError, match="cannot be written: File too large; nothing of these 50"):
            store.append(outcomes(dict.fromkeys(range(2, 52), 0)), source="b")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handled)
    assert store.path.read_bytes() == before
    assert store.append(outcomes(dict.fromkeys(range(2, 52), 0)), source="b").new == 50
    assert len(index_of(tmp_path)) == 51


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot be written"):
        OutcomeStore(tmp_path / "file").append(outcomes({1: 1}), source="a")


@pytest.mark.soak
def test_a_million_outcomes_in_bounded_memory(tmp_path: Path) -> None:
    store = OutcomeStore(tmp_path)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for start in range(0, 1_000_000, 50_000):
        store.append(outcomes(dict.fromkeys(range(start, start + 50_000), start % 2)), source="x")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 200_000
    assert len(index_of(tmp_path)) == 1_000_000
    assert store.path.stat().st_size < 150_000_000
