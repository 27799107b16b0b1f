"""A host's Python: its version, platform and the wheels that fit it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kwaflux_core.child_process import CommandResult, run_command
from kwaflux_core.errors import HostError, KwafluxError
from kwaflux_hosting.install_layout import python_tag
from kwaflux_hosting.server_link.local_server import clean_environ

__all__ = ["OLDEST", "HostPython", "inspect_python", "printed_by", "run_code"]

OLDEST: Final = (3, 10)
"""The oldest Python that the adapters support: Nuke 15's."""

_TIMEOUT_S: Final = 60.0
_QUESTION: Final = """
import json, platform, struct, sys
print("kwaflux:" + json.dumps({
    "version": list(sys.version_info[:3]),
    "implementation": sys.implementation.name,
    "flags": getattr(sys, "abiflags", ""),
    "system": sys.platform,
    "machine": platform.machine(),
    "bits": 8 * struct.calcsize("P"),
    "libc": list(platform.libc_ver()),
    "mac": platform.mac_ver()[0],
}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPython:
    """A Python interpreter.

    Args:
        path: The executable.
        version: Major, minor and micro version.
        flags: Suffix of its ABI: ``t`` for a free-threaded build.
        system: Its ``sys.platform``.
        machine: Its ``platform.machine()``.
        bits: Bits of a pointer.
        libc: Name and version of the C library, on Linux.
        mac: Version of macOS.
    """

    path: Path
    version: tuple[int, int, int]
    flags: str = ""
    system: str
    machine: str
    bits: int = 64
    libc: tuple[str, str] = ("", "")
    mac: str = ""

    @property
    def tag(self) -> str:
        """The name of its folder of wheels."""
        return python_tag(version=self.version[:2], system=self.system, machine=self.machine)

    @property
    def abi(self) -> str:
        """The ABI tag in wheel names, such as ``cp311``."""
        free = "t" if "t" in self.flags else ""
        return f"cp{self.version[0]}{self.version[1]}{free}"

    @property
    def is_old(self) -> bool:
        """Whether it is too old for the adapters."""
        return self.version[:2] < OLDEST

    @property
    def text(self) -> str:
        """The label for messages, such as ``Python 3.10.10``."""
        return "Python " + ".".join(map(str, self.version))

    def platforms(self) -> tuple[str, ...]:
        """Return the platform tags of the wheels that fit it, best first (PEP 425, 600)."""
        machine = self.machine.lower()
        if self.system == "win32":
            by_machine = {"amd64": "win_amd64", "x86_64": "win_amd64", "arm64": "win_arm64"}
            return ("win32" if self.bits == 32 else by_machine.get(machine, "win_amd64"),)
        if self.system == "darwin":
            major, _, minor = (self.mac or "11.0").partition(".")
            newest = f"{major}_{minor.split('.')[0] or 0}" if major == "10" else f"{major}_0"
            return (f"macosx_{newest}_{machine}",)
        name, _, version = (self.libc[0], "", self.libc[1])
        if name != "glibc" or not version:
            return (f"musllinux_1_2_{machine}", f"musllinux_1_1_{machine}")
        minor_number = int(version.split(".")[1])
        newest_first = range(minor_number, 4, -1)
        return (
            *(f"manylinux_2_{number}_{machine}" for number in newest_first),
            *(f"manylinux{year}_{machine}" for year in ("2014", "2010", "1")),
        )


def inspect_python(python: Path, environ: Mapping[str, str]) -> HostPython:
    """Run a Python, and return what it says it is.

    Raises:
        HostError: It does not run, or is not CPython.
    """
    said = printed_by(python, _QUESTION, environ=environ)
    lines = [line for line in said.splitlines() if line.startswith("kwaflux:")]
    try:
        raw = json.loads(lines[-1].removeprefix("kwaflux:"))
        first, second, third = raw["version"]
        host_python = HostPython(
            path=python,
            version=(first, second, third),
            flags=raw["flags"],
            system=raw["system"],
            machine=raw["machine"],
            bits=raw["bits"],
            libc=(raw["libc"][0], raw["libc"][1]),
            mac=raw["mac"],
        )
    except (IndexError, ValueError, KeyError, TypeError) as error:
        raise HostError(
            f"{python} is not a Python interpreter", hint="give another one with --python"
        ) from error
    if raw["implementation"] != "cpython":
        raise HostError(
            f"{python} is {raw['implementation']}, but hosts run CPython",
            hint="give another one with --python",
        )
    return host_python


def printed_by(python: Path, code: str, *arguments: str, environ: Mapping[str, str]) -> str:
    """Run code in a Python that sees nothing of ours; return what it printed.

    Raises:
        HostError: It does not run, or failed; the message contains the last line of its output.
    """
    try:
        result = run_code(python, code, *arguments, environ=environ)
        result.raise_for_status()
    except KwafluxError as error:
        raise HostError(error.message, hint="name another: --python", path=str(python)) from error
    return result.output


def run_code(
    python: Path,
    code: str,
    *arguments: str,
    environ: Mapping[str, str],
    limit_s: float = _TIMEOUT_S,
) -> CommandResult:
    """Run code in a Python that sees nothing of ours.

    Raises:
        WorkerError: It does not run.
        DeadlineExceeded: It took too long.
    """
    # -B: what it imports may lie in a folder that is not yet where it will be.
    command = [str(python), "-I", "-B", "-c", code, *arguments]
    return run_command(command, environ=clean_environ(environ), limit_s=limit_s)
