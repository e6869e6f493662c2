"""Alarms to Slack, Teams, e-mail, PagerDuty and others, through Apprise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tabloop.config.alerts import AlertsConfig
from tabloop.errors import ConfigError
from tabloop.extras import missing_extra
from tabloop.monitoring.outbox import DeliveryError


@dataclass(frozen=True)
class AppriseReceiver:
    """One service that Apprise speaks to.

    Attributes
    ----------
    name : str
        The service's name, such as `Slack`; no part of its address.
    folder : str
        Where its alarms wait; the same after a restart, and not readable as its address.
    """

    name: str
    folder: str
    service: Any

    def post(self, message_id: str, timestamp: str, body: bytes) -> None:
        """Deliver a message; Apprise does not tell a refusal from a failure, so both are tried again.

        Raises
        ------
        DeliveryError
            If the service did not take it.
        """
        message = json.loads(body)
        data = message["data"]
        words = f"{data.get('words', '')}\nrun {data.get('run_id', '')}, {message['timestamp']}, {message_id}"
        title = f"tabloop alarm: {data.get('alarm', '')}"
        if not self.service.notify(body=words, title=title, notify_type="warning"):
            raise DeliveryError("the service did not take it; the log of Apprise tells why")


def apprise_receivers(config: AlertsConfig, environ: Mapping[str, str]) -> list[AppriseReceiver]:
    """Read the URLs of Apprise from the environment; empty where none are configured.

    Raises
    ------
    ConfigError
        If the variable is empty or holds what is no URL of Apprise; no URL is shown.
    MissingExtraError
        If Apprise is not installed.
    """
    if config.apprise_env is None:
        return []
    try:
        import apprise
    except ModuleNotFoundError as error:
        raise missing_extra(error, "alerts.apprise_env") from error
    urls = list(dict.fromkeys(environ.get(config.apprise_env, "").split()))
    if not urls:
        raise ConfigError(
            f"alerts.apprise_env: {config.apprise_env} holds nothing, expected Apprise URLs such as "
            "slack://... or mailto://..., separated by blanks"
        )
    services = [apprise.Apprise.instantiate(url, suppress_exceptions=True) for url in urls]
    wrong = [str(place) for place, service in enumerate(services, start=1) if not service]
    if wrong:
        raise ConfigError(
            f"alerts.apprise_env: no URL that Apprise understands in {config.apprise_env}, "
            f"of {len(urls)}: number {', '.join(wrong)}"
        )
    return [
        AppriseReceiver(
            str(service.service_name), hashlib.blake2b(url.encode(), digest_size=8).hexdigest(), service
        )
        for url, service in zip(urls, services, strict=True)
        if service
    ]
