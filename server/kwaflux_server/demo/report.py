"""The report of the demonstration, as a page for a terminal and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kwaflux_core.protocol.messages import RangeReceipt
from kwaflux_server.demo.score import Quality

__all__ = ["ALL_GOOD", "SOME_NEED_ATTENTION", "Check", "Report", "Run", "as_fields", "as_table"]

ALL_GOOD, SOME_NEED_ATTENTION = 0, 1


@dataclass(frozen=True, slots=True)
class Run:
    """The times of one run over the sequence.

    Args:
        frames: Number of frames that are done.
        failed: One sentence for each failed frame.
        first_frame_s: From the request until the first frame was on disk.
        wall_s: From the request until the last frame was on disk.
    """

    frames: int
    failed: tuple[str, ...]
    first_frame_s: float
    wall_s: float

    @property
    def frames_per_s(self) -> float:
        """Frames per second from the request to the end, reading and writing included."""
        return self.frames / self.wall_s


@dataclass(frozen=True, slots=True)
class Check:
    """A check and its outcome."""

    text: str
    is_good: bool


@dataclass(frozen=True, slots=True)
class Report:
    """The measurements and checks of a demonstration.

    Args:
        plate_about: Description of the plate, one line.
        flow: The flow that was rendered.
        device: Devices of the workers.
        plate: Quality of the degraded plate against the clean one.
        enhanced: Quality of the result against the clean one.
        server_start_s: Seconds until the server was ready; None if one was already running.
        cold: The first run.
        warm: The second run, on the same server.
        receipt: The range receipt over all frames of the first run.
        checks: Checks that the rest of the picture is unchanged.
        files: Paths by name.
    """

    plate_about: str
    flow: str
    device: str
    plate: Quality
    enhanced: Quality
    server_start_s: float | None
    cold: Run
    warm: Run
    receipt: RangeReceipt
    checks: tuple[Check, ...]
    files: dict[str, str]

    @property
    def psnr_gain_db(self) -> float:
        """Gain in PSNR, in decibels."""
        return self.enhanced.psnr_db - self.plate.psnr_db

    @property
    def exit_status(self) -> int:
        """0 if every frame is good and every check passed, else 1."""
        is_good = not self.cold.failed and not self.warm.failed
        is_good = is_good and all(check.is_good for check in self.checks)
        return ALL_GOOD if is_good else SOME_NEED_ATTENTION


def as_fields(report: Report) -> dict[str, object]:
    """Return the report as plain values for JSON."""
    fields = asdict(report)
    for name, run in (("cold", report.cold), ("warm", report.warm)):
        fields[name]["frames_per_s"] = run.frames_per_s
    fields["psnr_gain_db"] = report.psnr_gain_db
    fields["exit_status"] = report.exit_status
    return fields


def as_table(report: Report) -> RenderableType:
    """Return the report as a page for a terminal."""
    parts: list[RenderableType] = [
        Text(report.plate_about),
        Text(f"{report.flow} on {report.device}"),
        Padding(_quality_table(report), (1, 0, 0, 0)),
        Text("  sRGB-encoded, clipped to 0..1, mean over frames", style="dim"),
        Padding(_speed_table(report), (1, 0, 1, 0)),
        Text(_range_line(report.receipt)),
    ]
    for check in report.checks:
        mark, style = ("ok  ", "green") if check.is_good else ("NOT ", "bold red")
        parts.append(Text.assemble((mark, style), check.text))
    for run in (report.cold, report.warm):
        parts += [Text(line, style="red") for line in run.failed]
    parts.append(Text())
    parts += [Text(f"{name + ':':<14}{path}") for name, path in report.files.items()]
    return Group(*parts)


def _quality_table(report: Report) -> Table:
    table = Table("", "plate", "enhanced", "gain", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    before, after = report.plate, report.enhanced
    table.add_row(
        "PSNR",
        f"{before.psnr_db:.2f} dB",
        f"{after.psnr_db:.2f} dB",
        f"{report.psnr_gain_db:+.2f} dB",
    )
    gain = after.ssim - before.ssim
    table.add_row("SSIM", f"{before.ssim:.4f}", f"{after.ssim:.4f}", f"{gain:+.4f}")
    return table


def _speed_table(report: Report) -> Table:
    columns = ("", "server ready", "first frame", "all frames", "frames/s")
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    started = report.server_start_s
    names = ("cold", "warm") if started is not None else ("first run", "second run")
    ready = "was running" if started is None else f"{started:.2f} s"
    for name, run, when in ((names[0], report.cold, ready), (names[1], report.warm, "-")):
        table.add_row(
            name,
            when,
            f"{run.first_frame_s:.2f} s",
            f"{run.wall_s:.2f} s",
            f"{run.frames_per_s:.2f}",
        )
    return table


def _range_line(receipt: RangeReceipt) -> str:
    return (
        f"range receipt: {receipt.min_in:.4g} to {receipt.max_in:.4g} in, "
        f"{receipt.min_out:.4g} to {receipt.max_out:.4g} out; "
        f"{receipt.beyond_trained:.2%} beyond the trained range; "
        f"NaN {receipt.nan_count}, Inf {receipt.inf_count}"
    )
