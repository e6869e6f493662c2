"""What calendar functions compute, once for all evaluators: arithmetic that each does in float64.

A moment is a number of seconds since 1970, UTC. `year(x)`, `month(x)` and `day(x)` are those of the proleptic
Gregorian calendar, `weekday(x)` is 1 on Mondays and 7 on Sundays (ISO 8601), `hour(x)` is 0 to 23. Outside
the years 1 to 9999, where a number is hardly meant as seconds, and of NaN they are NaN. `days_between(a, b)`
is ``(b - a) / 86400``, negative where `b` comes first.

Every step is a sum, a difference, a product, a quotient, a floor or a comparison. IEEE 754 settles all of
these, so that a row, a table and an ONNX graph agree to the last bit.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Protocol, TypeAlias

CalendarFunction: TypeAlias = Literal["year", "month", "day", "weekday", "hour"]
CALENDAR_FUNCTIONS: tuple[CalendarFunction, ...] = ("year", "month", "day", "weekday", "hour")

SECONDS_A_DAY = 86_400.0
#: The first moment of the year 1, and the first one after the year 9999.
EARLIEST, BEYOND = -62_135_596_800.0, 253_402_300_800.0

_DAYS_BEFORE_1970 = 719_468.0  # from 1 March of the year 0
_DAYS_OF_400_YEARS = 146_097.0


class Arithmetic(Protocol):
    """What an evaluator's numbers can do besides ``+ - * /``."""

    def floor(self, x: Any) -> Any:
        """Give the largest whole number that is not above it."""

    def is_less(self, a: Any, b: float) -> Any:
        """Give the number 1 where `a` is less than `b`, else 0."""

    def within(self, x: Any, low: float, beyond: float) -> Any:
        """Give `x` where it is at least `low` and less than `beyond`, else NaN."""


def calendar_part(function: CalendarFunction, moment: Any, do: Arithmetic) -> Any:
    """Compute a calendar function with the numbers of an evaluator.

    Parameters
    ----------
    function : {"year", "month", "day", "weekday", "hour"}
        The function.
    moment : number of the evaluator
        Seconds since 1970, UTC.
    do : Arithmetic
        The evaluator's other operations.

    Returns
    -------
    part : number of the evaluator

    Notes
    -----
    Years begin in March here, so that the day by which leap years differ is the last one of a year: then
    months begin after ``floor((153 m + 2) / 5)`` days, and the years within 400 follow from the days [1]_.

    References
    ----------
    .. [1] E. M. Reingold and N. Dershowitz, "Calendrical Calculations", Cambridge University Press, 2018.

    Examples
    --------
    >>> leap_day = 1_709_208_000.0  # 2024-02-29 12:00
    >>> [calendar_part(function, leap_day, SCALAR) for function in CALENDAR_FUNCTIONS]
    [2024.0, 2.0, 29.0, 4.0, 12.0]
    """
    moment = do.within(moment, EARLIEST, BEYOND)
    days = do.floor(moment / SECONDS_A_DAY)
    seconds = moment - days * SECONDS_A_DAY
    before = do.is_less(seconds, 0.0)  # the quotient was rounded up to a day that has not begun
    days = days - before
    if function == "hour":
        return do.floor((seconds + before * SECONDS_A_DAY) / 3600.0)
    if function == "weekday":
        from_monday = days + 3.0  # 1970 began on a Thursday
        return from_monday - do.floor(from_monday / 7.0) * 7.0 + 1.0
    since_march = days + _DAYS_BEFORE_1970
    era = do.floor(since_march / _DAYS_OF_400_YEARS)
    of_era = since_march - era * _DAYS_OF_400_YEARS
    leap_days = do.floor(of_era / 1460.0) - do.floor(of_era / 36_524.0) + do.floor(of_era / 146_096.0)
    year_of_era = do.floor((of_era - leap_days) / 365.0)
    days_of_years = year_of_era * 365.0 + do.floor(year_of_era / 4.0) - do.floor(year_of_era / 100.0)
    of_year = of_era - days_of_years
    month_from_march = do.floor((of_year * 5.0 + 2.0) / 153.0)
    if function == "day":
        return of_year - do.floor((month_from_march * 153.0 + 2.0) / 5.0) + 1.0
    in_march_year = do.is_less(month_from_march, 10.0)  # March to December
    if function == "month":
        return month_from_march - 9.0 + in_march_year * 12.0
    return year_of_era + era * 400.0 + 1.0 - in_march_year


class _Scalar:
    """Python's floats."""

    def floor(self, x: float) -> float:
        # -0.0 stays what it is, as it does in NumPy and in ONNX
        return x if x == 0.0 or math.isnan(x) else float(math.floor(x))

    def is_less(self, a: float, b: float) -> float:
        return float(a < b)

    def within(self, x: float, low: float, beyond: float) -> float:
        return x if low <= x < beyond else math.nan


SCALAR = _Scalar()
