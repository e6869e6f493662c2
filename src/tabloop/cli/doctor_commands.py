"""The command that looks whether everything is as it should be."""

from __future__ import annotations

import os
from collections import Counter

import click

from tabloop.cli.options import Settings, with_optional_settings
from tabloop.cli.output import reported

_MARKS = {"ok": "ok", "note": "note", "warning": "WARNING", "blocks": "BLOCKS"}


@click.command(epilog="Example: tabloop doctor --json")
@with_optional_settings
def doctor(settings: Settings) -> None:
    """Look at the installation, the machine and the project; say how to mend what is not right.

    It writes nothing but a folder that it takes away again, and tries to connect to the services that the
    config names. Exit code 1 when a finding blocks.
    """
    from tabloop.doctor.examine import examine
    from tabloop.errors import CheckFailedError

    findings = []
    for finding in examine(settings.config, settings.overrides, os.environ):
        findings.append(finding)
        if not settings.as_json:
            click.echo(f"{_MARKS[finding.state]:<8} {finding.subject}: {finding.found}")
            if finding.mend:
                click.echo(f"{'':<8}   -> {finding.mend}")
    counts = Counter(finding.state for finding in findings)
    report = {"findings": findings, "blocks": counts["blocks"]}
    with reported(settings, report):
        if counts["blocks"]:
            n = counts["blocks"]
            raise CheckFailedError(f"{n} {'findings block' if n > 1 else 'finding blocks'}: see above")
