"""The `alerts` section: who is told of an alarm."""

from __future__ import annotations

from pydantic import Field

from tabloop.contract.section import Section

_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"


class AlertsConfig(Section):
    """Who is told of an alarm, beside the log and `/metrics`."""

    url_env: str | None = Field(
        None,
        pattern=_NAME,
        description="Environment variable that holds the URL of a webhook to post alarms to; null for none. "
        "They are signed with the secret in `TABLOOP_ALERTS_SECRET`.",
    )
    apprise_env: str | None = Field(
        None,
        pattern=_NAME,
        description="Environment variable that holds Apprise URLs (Slack, Teams, e-mail, PagerDuty and "
        "others), separated by blanks; null for none. Needs the extra `apprise`.",
    )
