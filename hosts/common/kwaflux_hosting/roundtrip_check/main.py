"""The program that ``kwaflux check`` runs in a host's own Python, without the host."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Final

from kwaflux_core.errors import KwafluxError, to_wire
from kwaflux_hosting.roundtrip_check.compare import run_check
from kwaflux_hosting.roundtrip_check.support_bundle import write_bundle
from kwaflux_hosting.server_link.local_server import connect

__all__ = ["PREFIX", "main"]

PREFIX: Final = "kwaflux:"
"""How the lines begin that are meant for the one who started us; others are for nobody."""


def main(arguments: Sequence[str]) -> int:
    """Check; tell each step as a line of JSON, the report last.

    Args:
        arguments: The host's name, and the folder for the charts and the bundle.
    """
    host, folder = arguments
    try:
        report = run_check(host, folder=folder, say=lambda text: _tell("said", text=text))
        with connect(say=lambda text: None, start=False, name=f"{host} check") as client:
            bundle = write_bundle(report, client=client, environ=os.environ)
    except KwafluxError as error:
        _tell("error", **to_wire(error))
        return 2
    _tell(
        "report",
        is_good=report.is_good,
        text=report.text(),
        bundle=bundle,
        transport=report.transport,
    )
    return 0 if report.is_good else 1


def _tell(event: str, **fields: object) -> None:
    sys.stdout.write(PREFIX + json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()
