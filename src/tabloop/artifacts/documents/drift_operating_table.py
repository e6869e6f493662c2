"""What `drift_operating_table.json` holds: what the windowed tests cost and what they see."""

from __future__ import annotations

import msgspec

from tabloop.artifacts.documents.document import FORMAT_VERSION


class PlantedShift(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One kind of shift, by size of the window as in `DriftOperatingTable.window_rows`.

    Attributes
    ----------
    shift : str
        What was planted; `none` for quiet windows.
    alarm_fraction : tuple of float
        Share of the windows that alarmed.
    windows : tuple of int
        The number of windows of each size.
    interval : tuple of tuple of float or None
        Clopper-Pearson, 95%, of the quiet windows' share; None for the others.
    """

    shift: str
    alarm_fraction: tuple[float, ...]
    windows: tuple[int, ...]
    interval: tuple[tuple[float, float], ...] | None = None


class DriftOperatingTable(msgspec.Struct, frozen=True, kw_only=True):
    """How often a window alarms, when nothing happened and when something did.

    Attributes
    ----------
    false_alarms_per_1000_windows, least_effect : float
        The settings in force.
    reference_rows : int
        Training rows that a window is compared with.
    window_rows : tuple of int
        Sizes of the windows.
    shifts : tuple of PlantedShift
        Empty where there were too few rows to measure anything on.
    """

    false_alarms_per_1000_windows: float
    least_effect: float
    reference_rows: int
    window_rows: tuple[int, ...] = ()
    shifts: tuple[PlantedShift, ...] = ()
    format_version: int = FORMAT_VERSION
