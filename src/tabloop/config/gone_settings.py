"""Settings that earlier versions had, and what to do instead."""

from __future__ import annotations

from typing import Any

_CONSTANT = "it is a constant now; leave it out"
_OPTION = "its successor is an option of `tabloop stream --simulate`:"

#: Each setting that went, as a person wrote it, with its successor or the reason why it went.
GONE_SETTINGS = {
    "alerts.first_retry_s": f"{_CONSTANT}. Waits begin at 1 s and double",
    "alerts.keep_hours": f"{_CONSTANT}. An alarm that nobody took for 72 hours is given up",
    "alerts.max_retry_s": f"{_CONSTANT}. Two tries are at most 300 s apart",
    "alerts.max_waiting": f"{_CONSTANT}. At most 1,000 alarms wait",
    "alerts.secret_env": f"{_CONSTANT}. The variable TABLOOP_ALERTS_SECRET holds the secret",
    "alerts.timeout_s": f"{_CONSTANT}. An answer is awaited for 5 s",
    "benchmarking.batch_sizes": f"{_CONSTANT}. Batches of 1, 16, 256 and 4,096 rows are measured; "
    "benchmarking.batch_size is measured as well",
    "benchmarking.confidence": f"{_CONSTANT}. Intervals have a confidence of 0.95",
    "data.limits.quarantine_bytes": f"{_CONSTANT}. The file of refused rows does not pass 256 MiB; "
    "data.limits.quarantine_rows says how many rows it takes",
    "data.source.connect_timeout_s": f"{_CONSTANT}. A connection is awaited for 10 s",
    "monitoring.performance.max_uncovered_fraction": f"{_CONSTANT} of the estimator, 0.1, on which its "
    "measured error rests",
    "monitoring.performance.min_effective_rows": f"{_CONSTANT} of the estimator, 300, on which its "
    "measured error rests",
    "monitoring.performance.min_rows": f"{_CONSTANT} of the estimator, 100, on which its "
    "measured error rests",
    "prediction_log.buffer_bytes": f"{_CONSTANT}. Rows are written when they reach 1 MiB; "
    "prediction_log.durability says what an answered row survives",
    "prediction_log.flush_interval_s": f"{_CONSTANT}. Rows are written after 1 s at the latest; "
    "prediction_log.durability says what an answered row survives",
    "prediction_log.hash_key_env": f"{_CONSTANT}. The variable TABLOOP_LOG_KEY holds the key",
    "retraining.brier_margin": "release.brier_margin is its successor, for every release",
    "retraining.confidence": "release.confidence is its successor, for every release",
    "retraining.replay_rows": f"{_CONSTANT}. The latest 20,000 decisions are taken again; "
    "retraining.max_changed_fraction says how many may change",
    "retraining.resamples": f"{_CONSTANT}. The bounds rest on 2,000 resamples",
    "retraining.test_margin": "release.roc_auc_margin is its successor, for every release",
    "scoring.sink.batch_rows": f"{_CONSTANT}. One transaction writes 10,000 answers",
    "scoring.sink.connect_timeout_s": f"{_CONSTANT}. A connection is awaited for 10 s",
    "serving.champion_check_s": f"{_CONSTANT}. A worker looks for a new champion every 0.5 s",
    "stream.invalid_window_events": f"{_CONSTANT}. The latest 1,000 events count; "
    "stream.max_invalid_fraction says how many may be invalid",
    "stream.simulation.arrivals": f"{_OPTION} --arrivals",
    "stream.simulation.burst_rows": f"{_CONSTANT}. A burst is 100 events; the option --rate of "
    "`tabloop stream --simulate` says how many bursts come",
    "stream.simulation.duration_s": f"{_OPTION} --duration",
    "stream.simulation.jitter_ms": f"{_OPTION} --jitter",
    "stream.simulation.latency_limit_ms": "release.max_wait_p99_ms is its successor",
    "stream.simulation.mode": f"{_OPTION} --mode",
    "stream.simulation.queue_rows": f"{_CONSTANT}. Queues of 256, 1,024 and 4,096 rows are compared",
    "stream.simulation.rate_rows_per_s": f"{_OPTION} --rate",
    "stream.simulation.rows": f"{_OPTION} --rows",
    "stream.simulation.search": f"{_OPTION} --no-search",
    "stream.simulation.workers": f"{_CONSTANT}. One and two workers are compared",
}


def without_gone_settings(settings: Any) -> Any:
    """Leave gone settings out of what an earlier version recorded in a run.

    Parameters
    ----------
    settings : mapping
        Every setting that was in force, as `Config.to_json` wrote it.

    Examples
    --------
    >>> without_gone_settings({"seed": 1, "retraining": {"resamples": 9, "data": "append"}})
    {'seed': 1, 'retraining': {'data': 'append'}}
    """
    return _without(settings, "")


def _without(value: Any, prefix: str) -> Any:
    if not isinstance(value, dict):
        return value
    left = {
        key: (each, _without(each, f"{prefix}{key}."))
        for key, each in value.items()
        if f"{prefix}{key}" not in GONE_SETTINGS
    }
    # a section of which nothing is left is gone itself
    return {key: kept for key, (recorded, kept) in left.items() if not (recorded and kept == {})}
