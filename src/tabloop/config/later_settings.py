"""Settings that came later and whose default changes results: runs from before went without them."""

from __future__ import annotations

from typing import Any

#: By kind of candidate, the setting and what a run did that does not have it.
_BEFORE = {"svm": {"max_rows": None}, "k_neighbors": {"max_rows": None}}


def with_later_settings(settings: Any) -> Any:
    """Add what later versions brought to the settings that an earlier version recorded in a run.

    Parameters
    ----------
    settings : mapping
        Every setting that was in force, as `Config.to_json` wrote it.

    Examples
    --------
    >>> with_later_settings({"training": {"candidates": {"svm": {"kind": "svm", "C": 2.0}}}})
    {'training': {'candidates': {'svm': {'max_rows': None, 'kind': 'svm', 'C': 2.0}}}}
    """
    training = settings.get("training", {})
    candidates = {
        name: {**_BEFORE.get(candidate.get("kind"), {}), **candidate}
        for name, candidate in training.get("candidates", {}).items()
    }
    if not candidates:
        return settings
    return {**settings, "training": {**training, "candidates": candidates}}
