"""Synthetic students of an e-learning platform, as many as wanted; no real person is among them.

The parameters are rounded aggregate figures of one real table. Who buys is drawn first, by country;
then the days by that, the minutes by both, and courses and exams by all of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.io.plugins import register_io_source
from scipy.special import ndtri

from tabloop.artifacts.files import open_atomic
from tabloop.errors import DataError

# One block is as long as the bundled table, so that all its countries, however rare, are in the table.
BLOCK_ROWS = 17_761

_Floats = NDArray[np.float64]

SCHEMA = pl.Schema(
    {
        "student_country": pl.String,
        "days_on_platform": pl.Int64,
        "minutes_watched": pl.Float64,
        "courses_started": pl.Int64,
        "practice_exams_started": pl.Int64,
        "practice_exams_passed": pl.Int64,
        "minutes_spent_on_exams": pl.Float64,
        "purchased": pl.Int64,
    }
)


# Per tier of countries: the share that buys, how soon buyers do (above 1: sooner), rows in a block.
_COUNTRY_TIERS: tuple[tuple[float, float, dict[str, int]], ...] = (
    (0.206, 1.20, {
        "US": 2451, "CA": 556, "AU": 220, "AE": 140, "SG": 135, "MX": 126, "SE": 98, "TH": 66, "HK": 61,
        "JP": 54, "NZ": 53, "IL": 45, "KR": 41, "UA": 32,
    }),
    (0.112, 0.97, {
        "GB": 816, "DE": 488, "FR": 234, "NL": 226, "BR": 211, "IT": 173, "PL": 107, "BG": 103, "MY": 100,
        "CO": 99, "BE": 70, "CH": 55, "UZ": 51, "GR": 39, "CN": 36, "LB": 34, "CL": 33, "TW": 31, "AT": 31,
        "DK": 31, "RS": 27, "KW": 26,
        **dict.fromkeys(("BY", "CI", "CM", "RW"), 18),
        **dict.fromkeys(("SK", "HR", "LT", "BH"), 15),
        **dict.fromkeys(("LV", "EE", "TZ", "SN", "UY", "EC", "CY", "LU"), 12),
        **dict.fromkeys(("SI", "AL", "MK", "MD", "IS", "PA", "PY", "GT", "SV"), 8),
        **dict.fromkeys(("MM", "MN", "LY", "YE", "SY", "BN"), 5),
        **dict.fromkeys(("BB", "BS", "GY", "NI", "CD", "BJ", "BF", "TG", "ML"), 3),
    }),
    (0.063, 0.82, {
        "SA": 315, "ID": 305, "TR": 234, "KE": 203, "VN": 200, "PT": 198, "ES": 194, "PH": 181, "ZA": 155,
        "IE": 90, "LK": 78, "JO": 64, "PE": 64, "NO": 45, "RO": 42, "ZW": 33, "PS": 28, "FI": 28, "UG": 26,
        "CZ": 24, "HU": 23, "QA": 23, "GE": 22, "DO": 21, "KH": 21, "OM": 21, "KZ": 20,
        **dict.fromkeys(("BO", "CR", "VE", "AM", "TT", "JM", "MT", "BA"), 10),
        **dict.fromkeys(("ZM", "MZ", "AO", "BW", "NA", "MU", "HN"), 6),
        **dict.fromkeys(("KG", "TJ", "LA", "MV", "FJ", "BT"), 4),
        **dict.fromkeys(("NE", "GN", "GM", "SL", "LR", "MG", "MW", "SO", "HT", "ME"), 2),
        **dict.fromkeys(("LS", "SZ", "GA", "CG"), 2),
        **dict.fromkeys(("AF", "TM", "MO", "PG", "SR", "BZ", "LC", "GD", "AG"), 1),
        **dict.fromkeys(("DM", "KN", "VC", "SC", "CV", "DJ", "MR", "TD", "BI"), 1),
    }),
    (0.039, 0.66, {
        "IN": 3365, "NG": 882, "PK": 395, "AZ": 111, "GH": 93, "RU": 62, "ET": 59, "SD": 35,
    }),
    (0.016, 0.70, {
        "EG": 1466, "MA": 245, "BD": 197, "TN": 156, "IQ": 114, "DZ": 113, "AR": 82, "NP": 80,
    }),
)  # fmt: skip

# Days on the platform: band starts and per mille in each band, for those who did not buy and who did.
_DAY_BANDS = np.array(
    [*range(9), 10, 12, 15, 20, 30, 40, 60, 70, 80, 90, 120, 150, 180, 210, 240, 270, 285, 293]
)
_DAY_SHARES = (
    np.array([
        4, 4, 6, 4, 4, 4, 5, 6, 10, 11, 16, 27, 36, 40, 64, 77, 39, 28, 88, 101, 81, 84, 101, 88, 44, 28,
    ]),
    np.array([
        402, 128, 70, 39, 42, 29, 37, 43, 25, 14, 20, 23, 28, 17, 28, 8, 5, 9, 13, 9, 5, 5, 1, 0, 0, 0,
    ]),
)  # fmt: skip

# Quantiles of the minutes watched, by days on the platform at least; logarithms are interpolated.
_MINUTE_LEVELS = (0.0, 0.03, 0.1, 0.17, 0.25, 0.4, 0.5, 0.6, 0.75, 0.85, 0.9, 0.95, 0.98, 0.99, 0.998, 1.0)
_MINUTES: tuple[dict[int, tuple[float, ...]], dict[int, tuple[float, ...]]] = (
    {
        0: (0.05, 0.07, 0.13, 0.2, 0.4, 1.0, 2.5, 5.7, 17, 34, 43, 72, 130, 200, 450, 640),
        30: (0.05, 0.09, 0.17, 0.33, 0.6, 1.7, 3.7, 7.2, 20, 39, 48, 71, 117, 200, 600, 1000),
        60: (0.05, 0.10, 0.26, 0.6, 1.2, 3.8, 8.0, 17, 42, 68, 99, 215, 380, 540, 1150, 1950),
        90: (0.05, 0.10, 0.26, 0.6, 1.1, 3.3, 6.5, 11, 29, 45, 58, 92, 180, 300, 830, 5300),
    },
    {
        0: (0.05, 0.4, 2.0, 6.0, 9.5, 21, 32, 41, 60, 89, 107, 133, 174, 202, 256, 298),
        1: (0.08, 1.5, 7.2, 14, 29, 50, 64, 82, 111, 133, 152, 187, 270, 320, 360, 400),
        4: (0.08, 0.8, 5.5, 10, 18, 37, 48, 65, 107, 140, 159, 204, 260, 310, 620, 700),
        8: (0.08, 0.8, 6.6, 14, 23, 44, 58, 78, 113, 148, 176, 280, 380, 430, 650, 1040),
    },
)

# By minutes watched (logarithms are interpolated): a second course, not bought and bought; a further one.
_COURSE_MINUTES = (0.2, 0.6, 2, 5, 10, 20, 40, 62, 87, 140, 280, 600)
_SECOND_COURSE = (
    np.array([0.004, 0.03, 0.06, 0.085, 0.105, 0.14, 0.145, 0.28, 0.42, 0.66, 0.76, 0.94]),
    np.array([0.02, 0.06, 0.14, 0.28, 0.33, 0.31, 0.25, 0.32, 0.36, 0.45, 0.84, 0.98]),
)
_FURTHER_COURSE = (
    np.array([0.02, 0.04, 0.10, 0.15, 0.19, 0.18, 0.16, 0.23, 0.31, 0.42, 0.52, 0.74]),
    np.array([0.02, 0.04, 0.10, 0.15, 0.19, 0.18, 0.16, 0.21, 0.28, 0.45, 0.62, 0.86]),
)

# By minutes watched: any practice exam, not bought and under 120 days, 120-179, 180+; bought.
_EXAM_MINUTES = (0.5, 3, 8, 18, 29, 33, 70, 140, 400, 1500)
_TAKES_EXAM_DAYS = (120, 180)
_TAKES_EXAM = (
    np.array([0.020, 0.025, 0.03, 0.05, 0.09, 0.40, 0.44, 0.60, 0.84, 0.90]),
    np.array([0.004, 0.003, 0.01, 0.03, 0.04, 0.06, 0.12, 0.23, 0.48, 0.55]),
    np.array([0.005, 0.006, 0.01, 0.02, 0.02, 0.024, 0.036, 0.12, 0.28, 0.40]),
)
_BUYER_TAKES_EXAM = np.array([0.01, 0.005, 0.01, 0.03, 0.06, 0.12, 0.20, 0.28, 0.48, 0.50])
_MEAN_EXAMS = (2.0, 1.8, 1.8, 1.9, 2.1, 2.1, 2.4, 3.8, 8.0, 18.0)
_BUYER_MEAN_EXAMS = 2.9

_MAX_COURSES, _MAX_EXAMS = 16, 76
_MAX_MINUTES_PER_EXAM = 25.0


def generate_students(n_rows: int, seed: int, *, chunk_rows: int = 250_000) -> Iterator[pl.DataFrame]:
    """Draw students, frame after frame, in bounded memory.

    Fewer rows of the same seed are the first of more, whatever `chunk_rows` is. Nothing is drawn before
    the first frame is asked for, but the arguments are checked at once.

    Parameters
    ----------
    n_rows : int
        Rows in all, at least 1.
    seed : int
        At least 0. Another seed gives other students.
    chunk_rows : int, default=250_000
        Rows of each frame but the last, at least 1.

    Returns
    -------
    frames : iterator of polars.DataFrame
        The columns of `SCHEMA`.

    Raises
    ------
    DataError
        If an argument is out of its range.

    Notes
    -----
    Every `BLOCK_ROWS` rows come from a random stream of their own, spawned from `seed`. Within a block
    the countries are dealt, not drawn: each comes as often as in every other block, in another order.
    Only uniform numbers are drawn, since these are the most stable part of numpy's random streams.
    Ten million rows take about six seconds, written to CSV, and some 70 MB of memory.

    Examples
    --------
    >>> (frame,) = generate_students(3, seed=42)
    >>> frame.shape
    (3, 8)
    >>> [frame.height for frame in generate_students(5, seed=42, chunk_rows=2)]
    [2, 2, 1]
    """
    for name, value, least in (("n_rows", n_rows, 1), ("seed", seed, 0), ("chunk_rows", chunk_rows, 1)):
        if value < least:
            raise DataError(f"synthetic students: {name}: got {value}, expected at least {least}")
    return _frames(n_rows, seed, chunk_rows)


def write_students(path: Path, n_rows: int, seed: int, progress: Callable[[int], None] | None = None) -> None:
    """Write students to a file that appears only when it is whole.

    Parameters
    ----------
    path : pathlib.Path
        Parquet if it ends in ``.parquet``, else CSV. Its folder exists; an existing file is replaced.
    n_rows : int
        Rows in all, at least 1.
    seed : int
        At least 0. The same seed and number of rows give the same CSV, byte for byte.
    progress : callable, optional
        Called with the number of rows handed to the file so far.

    Raises
    ------
    DataError
        If the folder does not exist or an argument is out of its range.
    ArtifactError
        If the disk is full or the folder cannot be written.

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> write_students(folder / "students.csv", 1000, seed=42, progress=print)
    1000
    >>> write_students(folder / "none" / "students.csv", 1000, seed=42)
    Traceback (most recent call last):
        ...
    tabloop.errors.DataError: ...none: no such folder; make it first or choose another output
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: is a folder, expected the name of a file to write")
    if not path.parent.is_dir():
        raise DataError(f"{path.parent}: no such folder; make it first or choose another output")
    frames = _reported(generate_students(n_rows, seed), progress)
    with open_atomic(path) as file:
        if path.suffix.lower() in (".parquet", ".pq"):
            # Polars appends to a Parquet file only from a lazy frame, so the frames become a source of one
            register_io_source(lambda *_: frames, schema=SCHEMA).sink_parquet(file)
            return
        for index, frame in enumerate(frames):
            frame.write_csv(file, include_header=index == 0)


def _reported(
    frames: Iterator[pl.DataFrame], progress: Callable[[int], None] | None
) -> Iterator[pl.DataFrame]:
    rows_done = 0
    for frame in frames:
        yield frame
        rows_done += frame.height
        if progress is not None:
            progress(rows_done)


def _frames(n_rows: int, seed: int, chunk_rows: int) -> Iterator[pl.DataFrame]:
    held: list[pl.DataFrame] = []
    held_rows = 0
    for block, start in enumerate(range(0, n_rows, BLOCK_ROWS)):
        frame = _block(np.random.SeedSequence(seed, spawn_key=(block,))).head(n_rows - start)
        held.append(frame)
        held_rows += frame.height
        if held_rows >= chunk_rows or start + BLOCK_ROWS >= n_rows:
            together = pl.concat(held)
            cut = held_rows if start + BLOCK_ROWS >= n_rows else held_rows - held_rows % chunk_rows
            yield from together.head(cut).iter_slices(chunk_rows)
            held, held_rows = [together.slice(cut)], held_rows - cut


def _block(seed: np.random.SeedSequence) -> pl.DataFrame:
    """Draw `BLOCK_ROWS` students."""
    rng = np.random.Generator(np.random.PCG64(seed))
    codes, country_rows, tier_rows = _countries()
    country = country_rows[np.argsort(rng.random(BLOCK_ROWS), kind="stable")]
    buying, haste = np.array([tier[:2] for tier in _COUNTRY_TIERS]).T[:, tier_rows[country]]
    purchased = rng.random(BLOCK_ROWS) < buying
    days = _days(rng.random(BLOCK_ROWS), purchased, haste)
    minutes = _minutes(rng.random(BLOCK_ROWS), purchased, days)
    courses = _courses(rng.random((2, BLOCK_ROWS)), purchased, days, minutes)
    started, passed, exam_minutes = _exams(rng, purchased, days, minutes)
    columns = (codes.gather(country), days, minutes, courses, started, passed, exam_minutes, purchased * 1)
    return pl.DataFrame(dict(zip(SCHEMA, columns, strict=True)), schema=SCHEMA)


@cache
def _countries() -> tuple[pl.Series, NDArray[np.int64], NDArray[np.int64]]:
    """List the codes, the index of the code of every row of a block, and the tier of every code."""
    sizes = [
        (tier, code, rows)
        for tier, (_, _, countries) in enumerate(_COUNTRY_TIERS)
        for code, rows in countries.items()
    ]
    tiers, codes, rows = zip(*sizes, strict=True)
    return pl.Series(codes), np.repeat(np.arange(len(codes)), rows), np.array(tiers)


def _days(u: _Floats, purchased: NDArray[np.bool_], haste: _Floats) -> NDArray[np.int64]:
    days: _Floats = np.empty(len(u))
    for label, shares in enumerate(_DAY_SHARES):
        rows = purchased == label
        cumulated = np.concatenate([[0], np.cumsum(shares)]) / shares.sum()
        # u to a power above 1 is nearer to 0: a hasty country's buyers are newer on the platform
        days[rows] = np.interp(u[rows] ** haste[rows] if label else u[rows], cumulated, _DAY_BANDS)
    whole: NDArray[np.int64] = np.minimum(days, _DAY_BANDS[-1] - 1).astype(np.int64)
    return whole


def _minutes(u: _Floats, purchased: NDArray[np.bool_], days: NDArray[np.int64]) -> _Floats:
    minutes = np.empty(len(u))
    for label, by_days in enumerate(_MINUTES):
        starts = list(by_days)
        band = np.searchsorted(starts, days, side="right") - 1
        for index, start in enumerate(starts):
            rows = (purchased == label) & (band == index)
            minutes[rows] = np.exp(np.interp(u[rows], _MINUTE_LEVELS, np.log(by_days[start])))
    return np.maximum(np.round(minutes, 1), 0.1)


def _courses(
    u: _Floats, purchased: NDArray[np.bool_], days: NDArray[np.int64], minutes: _Floats
) -> NDArray[np.int64]:
    second, further = (
        np.where(purchased, *(_by_minutes(minutes, _COURSE_MINUTES, p) for p in (bought, not_bought)))
        for not_bought, bought in (_SECOND_COURSE, _FURTHER_COURSE)
    )
    # nobody starts a second course on the first day, and few in the first week
    second = second * np.interp(days, [0, 1, 3, 6], [0.0, 0.5, 0.75, 1.0])
    return np.where(u[0] < second, np.minimum(2 + _geometric(u[1], further), _MAX_COURSES), 1)


def _exams(
    rng: np.random.Generator, purchased: NDArray[np.bool_], days: NDArray[np.int64], minutes: _Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64], _Floats]:
    """Draw the practice exams started and passed and the minutes spent on them."""
    by_days = [_by_minutes(minutes, _EXAM_MINUTES, p) for p in _TAKES_EXAM]
    takes = np.choose(np.searchsorted(_TAKES_EXAM_DAYS, days, side="right"), by_days)
    takes = np.where(purchased, _by_minutes(minutes, _EXAM_MINUTES, _BUYER_TAKES_EXAM), takes)
    taker = np.flatnonzero(rng.random(len(days)) < takes)

    mean = _by_minutes(minutes[taker], _EXAM_MINUTES, _MEAN_EXAMS)
    mean = np.where(purchased[taker], _BUYER_MEAN_EXAMS, mean)
    started = np.minimum(1 + _geometric(rng.random(len(taker)), 1 - 1 / mean), _MAX_EXAMS)
    pass_rate = np.where(purchased[taker], 0.75, np.interp(minutes[taker], [10, 35], [0.36, 0.62]))
    exam_of = np.repeat(np.arange(len(taker)), started)
    passes = rng.random(len(exam_of)) < pass_rate[exam_of]
    passed = np.bincount(exam_of[passes], minlength=len(taker))
    # a lone exam takes longer and varies more than the average of several
    centre, spread = np.where(started == 1, 5.2, 3.6), np.where(started == 1, 0.77, 0.62)
    per_exam = np.minimum(centre * np.exp(spread * ndtri(rng.random(len(taker)))), _MAX_MINUTES_PER_EXAM)

    columns = np.zeros((3, len(days)))
    columns[:, taker] = started, passed, np.maximum(np.round(started * per_exam, 2), 0.01)
    return columns[0].astype(np.int64), columns[1].astype(np.int64), columns[2]


def _by_minutes(minutes: _Floats, knots: tuple[float, ...], values: _Floats | tuple[float, ...]) -> _Floats:
    return np.interp(np.log(minutes), np.log(knots), values)


def _geometric(u: _Floats, again: _Floats) -> NDArray[np.int64]:
    """Count how often in a row something with this probability happens again."""
    return np.floor(np.log1p(-u) / np.log(again)).astype(np.int64)
