"""`bottega sandbox`: which rung generated code would run on here, and what keeps the stronger ones from holding.

It attacks each rung as a starting worker does, and opens nothing else: no database, no key.
"""

import asyncio
import sys
from collections.abc import Iterator

import click

from bottega.config import Settings
from bottega.sandbox.bubblewrap import Bubblewrap
from bottega.sandbox.kit import find_kit
from bottega.sandbox.landlock import Landlock
from bottega.sandbox.probe import Finding, candidates, choose_sandbox, probe
from bottega.sandbox.types import Isolation


@click.command()
def sandbox() -> None:
    """Say how generated code is walled in on this machine; exit 1 where none would run."""
    settings = Settings.load()
    findings, chosen = asyncio.run(_found(settings.sandbox.sandbox))
    for line in _lines(findings):
        click.echo(line)
    if chosen is Isolation.NONE:
        click.echo(f"With SANDBOX={settings.sandbox.sandbox} no check runs here: results say 'not executed'.")
        sys.exit(1)
    click.echo(f"With SANDBOX={settings.sandbox.sandbox} checks run on: {chosen}.")


async def _found(preference: str) -> tuple[list[Finding], Isolation]:
    findings = [await probe(candidate) for candidate in candidates(kit=find_kit())]
    return findings, (await choose_sandbox(preference=preference)).isolation


def _lines(findings: list[Finding]) -> Iterator[str]:
    for finding in findings:
        said = f"holds: {', '.join(finding.layers)}" if finding.works else f"does not hold: {_one_line(finding.why)}"
        yield f"{_name(finding.sandbox)}: {said}"


def _name(rung: Bubblewrap | Landlock) -> str:
    """Return a rung's name with the form of it that was tried."""
    if isinstance(rung, Landlock):
        return "landlock" if rung.own_room else "landlock, without namespaces"
    if not rung.procfs:
        return "bubblewrap, without procfs"
    return "bubblewrap" if rung.lock_namespaces else "bubblewrap, namespaces not locked"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300] or "it gave no reason"
