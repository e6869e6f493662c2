from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tabloop.artifacts.prediction_log.sequences import SequenceAudit, WriterRuns


def see(audit: SequenceAudit, name: bytes, sequence: int, time: bytes) -> None:
    """See one row."""
    runs = WriterRuns()
    runs.add(name, sequence, time)
    audit.add_runs(runs)


def test_two_writers_that_drew_the_same_number_are_told_apart() -> None:
    audit = SequenceAudit(begins_at_one=True)
    for time in (b"2026", b"2027"):
        for sequence in (1, 2, 3):
            see(audit, b"8000-0001", sequence, time)
    assert (audit.n_writers, audit.gaps(), audit.duplicates, audit.disorder) == (2, [], 0, 0)


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), max_size=40), st.booleans())
def test_the_audit_agrees_with_a_plain_set(numbers: list[int], begins_at_one: bool) -> None:
    audit = SequenceAudit(begins_at_one=begins_at_one)
    for number in numbers:
        see(audit, b"8000-0001", number, b"2026")
    seen = set(numbers)
    least = 1 if begins_at_one else min(seen, default=1)
    missing = sorted(set(range(least, max(seen, default=0) + 1)) - seen)
    assert [n for gap in audit.gaps() for n in range(gap.first, gap.last + 1)] == missing
    assert audit.duplicates == len(numbers) - len(seen)
    ranges = [n for first, last in audit.ranges().get("8000-0001", []) for n in range(first, last + 1)]
    assert ranges == sorted(seen)


#: Rows of few writers: a name, a number, a time.
ROWS = st.lists(
    st.tuples(st.sampled_from([b"8000-0001", b"8000-0002"]), st.integers(1, 12), st.integers(10, 14)),
    max_size=40,
)


@settings(deadline=None, max_examples=300)
@given(ROWS, st.lists(st.integers(0, 40), max_size=6), st.booleans())
def test_pieces_say_what_the_whole_says(
    rows: list[tuple[bytes, int, int]], cuts: list[int], begins_at_one: bool
) -> None:
    one_by_one, in_pieces = (SequenceAudit(begins_at_one=begins_at_one) for _ in range(2))
    for name, sequence, time in rows:
        see(one_by_one, name, sequence, b"%d" % time)
    ends = sorted({min(cut, len(rows)) for cut in cuts} | {len(rows)})
    start = 0
    for end in ends:
        runs = WriterRuns()
        for name, sequence, time in rows[start:end]:
            runs.add(name, sequence, b"%d" % time)
        in_pieces.add_runs(runs)
        start = end
    for audit in (one_by_one, in_pieces):
        assert audit.n_writers >= len({name for name, _, _ in rows})
    assert in_pieces.n_writers == one_by_one.n_writers
    assert sorted(map(repr, in_pieces.gaps())) == sorted(map(repr, one_by_one.gaps()))
    assert (in_pieces.duplicates, in_pieces.disorder) == (one_by_one.duplicates, one_by_one.disorder)
    assert {name: sorted(ranges) for name, ranges in in_pieces.ranges().items()} == {
        name: sorted(ranges) for name, ranges in one_by_one.ranges().items()
    }


def test_rows_in_order_are_one_run_however_many() -> None:
    runs = WriterRuns()
    for sequence in range(1, 1001):
        runs.add(b"8000-0001", sequence, b"%010d" % (sequence // 7))
        runs.add(b"8000-0002", sequence, b"%010d" % (sequence // 3))
    assert [len(each) for each in runs.by_writer.values()] == [1, 1]
