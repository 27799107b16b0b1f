"""The round trip check: a chart passes through host and server, and every change is reported.

report = run_check("nuke", folder=folder, out=through_the_host, back=through_a_read)
print(report.text())
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

from kwaflux_core.errors import KwafluxError
from kwaflux_core.protocol.render_options import RenderOptions
from kwaflux_hosting.batch.file_patterns import frame_path
from kwaflux_hosting.batch.range_render import OpenClient, RangeRender, RenderRequest
from kwaflux_hosting.roundtrip_check.chart import Aspect, Finding, chart_bytes, compared

__all__ = ["FRAMES", "CheckReport", "StepReport", "Through", "run_check"]

FRAMES: Final = (1001, 1002, 1003)
"""Numbers that are no positions: a host that counts from 0 or 1 is found out."""

Through: TypeAlias = Callable[[str, str, tuple[int, ...]], None]
"""Leads files through a step: gets the pattern to read, the pattern to write, and the frames."""

_FLOW: Final = "identity"
_TIMEOUT_S: Final = 180.0


@dataclass(frozen=True, slots=True)
class StepReport:
    """Say what one step did.

    Args:
        name: Which step.
        findings: What it did to each aspect, over all frames; empty where it broke.
        problem: Why it broke, and the ones behind it were not tried.
        accepted: Aspects that this step is known to change, for a reason the page of its host
            gives; they are told and count as no problem.
    """

    name: str
    findings: tuple[Finding, ...] = ()
    problem: str = ""
    accepted: frozenset[Aspect] = frozenset()

    @property
    def is_good(self) -> bool:
        """Whether the step did nothing but what is accepted."""
        return not self.problem and not self.changes()

    def changes(self) -> tuple[Finding, ...]:
        """Return what the step changed and should not have."""
        return tuple(
            finding
            for finding in self.findings
            if not finding.is_kept and finding.aspect not in self.accepted
        )


@dataclass(slots=True)
class CheckReport:
    """Hold what a check found, step by step.

    Args:
        host: Name of the host.
        folder: Where the charts of all steps lie.
        transport: How frames travelled to the server: by path or as bytes.
        steps: In the order they were done.
    """

    host: str
    folder: str
    transport: Literal["", "path", "bytes"] = ""
    steps: list[StepReport] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether every step did nothing but what is accepted."""
        return bool(self.steps) and all(step.is_good for step in self.steps)

    def text(self) -> str:
        """Return the report as lines for a person."""
        lines = []
        for step in self.steps:
            lines.append(f"{'good' if step.is_good else 'BAD '}  {step.name}")
            lines += [f"      {step.problem}"] if step.problem else []
            for finding in step.findings:
                if finding.is_kept:
                    continue
                known = " (known: see docs/hosts)" if finding.aspect in step.accepted else ""
                lines.append(f"      {finding.aspect}: {finding.detail}{known}")
        if self.transport:
            how = {"path": "by path, on a shared disk", "bytes": "as bytes, over the network"}
            lines.append(f"Frames travelled {how[self.transport]}.")
        if self.is_good:
            lines.append("Every step returned its input unchanged.")
        elif self.steps:
            first = next(step for step in self.steps if not step.is_good)
            lines.append(f"The first step that changed something: {first.name}")
        return "\n".join(lines)


def run_check(
    host: str,
    *,
    folder: str,
    out: Through | None = None,
    back: Through | None = None,
    open_client: OpenClient | None = None,
    accepted: Iterable[Aspect] = (),
    say: Callable[[str], None] = lambda text: None,
) -> CheckReport:
    """Lead the chart out of the host, through the server, and back; report what each step did.

    Args:
        host: Its name, for the steps.
        folder: Where the charts go; it is made, and kept for the bundle.
        out: The host's way out: reads the chart, writes with the exchange folder's settings. None:
            the chart goes to the server as it is.
        back: The host's way back: reads results, writes them with the exchange folder's settings.
        open_client: As of ``RangeRender``.
        accepted: Aspects that the host is known to change; of its own steps only.
        say: Gets a sentence before each step.

    Thread: that of the caller for ``out`` and ``back``, which may be the host's own; the server is
    waited for in it too.
    """
    report = CheckReport(host, folder)
    Path(folder).mkdir(parents=True, exist_ok=True)
    patterns = [f"{folder}/{name}.%04d.exr" for name in ("chart", "out", "server", "back")]
    for frame in FRAMES:
        Path(frame_path(patterns[0], frame)).write_bytes(chart_bytes(frame))
    known = frozenset(accepted)

    def serve(source: str, target: str, frames: tuple[int, ...]) -> None:
        report.transport = _through_server(
            source, target, frames, open_client=open_client, name=host
        )

    steps: list[tuple[str, Through | None, frozenset[Aspect]]] = [
        (f"{host}: out", out, known),
        ("server", serve, frozenset()),
        (f"{host}: back", back, known),
    ]
    at = patterns[0]
    for (name, through, may_change), target in zip(steps, patterns[1:], strict=True):
        if through is None:
            continue
        say(f"Check: {name}")
        report.steps.append(_stepped(name, through, at, target, may_change))
        if report.steps[-1].problem:
            break
        at = target
    return report


def _stepped(
    name: str, through: Through, source: str, target: str, accepted: frozenset[Aspect]
) -> StepReport:
    try:
        through(source, target, FRAMES)
        findings = _over_frames(source, target)
    except KwafluxError as error:
        return StepReport(name, problem=str(error))
    except OSError as error:
        return StepReport(name, problem=f"a file is missing or cannot be read: {error}")
    except Exception as error:  # noqa: BLE001 - the report is what tells of a broken host
        return StepReport(name, problem=f"{type(error).__name__}: {error}")
    return StepReport(name, findings, accepted=accepted)


def _over_frames(source: str, target: str) -> tuple[Finding, ...]:
    """Return the findings of the first frame that differs in each aspect."""
    worst: dict[Aspect, Finding] = {}
    for frame in FRAMES:
        before, after = (Path(frame_path(at, frame)).read_bytes() for at in (source, target))
        for finding in compared(before, after, frame=frame):
            known = worst.setdefault(finding.aspect, finding)
            if known.is_kept and not finding.is_kept:
                worst[finding.aspect] = finding
    return tuple(worst.values())


def _through_server(
    source: str,
    target: str,
    frames: tuple[int, ...],
    *,
    open_client: OpenClient | None,
    name: str,
) -> Literal["", "path", "bytes"]:
    order = RenderRequest(flow=_FLOW, options=RenderOptions(colorspace="scene_linear"))
    work = RangeRender(
        order,
        source=source,
        target=target,
        frames=frames,
        open_client=open_client,
        name=f"{name} check",
        urgency="interactive",
        is_redone=True,
    )
    with work:
        progress = work.wait(_TIMEOUT_S)
    if not progress.is_over:
        raise KwafluxError(f"the server did not finish within {_TIMEOUT_S:.0f} s")
    if not progress.is_good:
        reasons = [frame.reason for frame in progress.frames.values() if frame.reason]
        raise KwafluxError(reasons[0] if reasons else progress.message, hint=progress.hint)
    return progress.transport
