"""Wheels of pyzmq and msgpack for a host's Python, installed into a separate folder.

pip runs in *this* Python and is told what the other one is, so that a host's Python needs no pip
and its own packages are never touched. ``pip --python`` would run our pip in the host's Python: it
has to be one that this pip supports, with every module of the standard library that pip imports.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from kwaflux_core.child_process import run_command
from kwaflux_core.errors import HostError, KwafluxError
from kwaflux_hosting.server_link.local_server import clean_environ
from kwaflux_server.install.host_python import HostPython, printed_by

__all__ = ["WANTED", "put_wheels"]

WANTED: Final = ("msgpack>=1.0.5,<2", "pyzmq>=26.2,<28")
"""Requirements of the client; both have BSD or Apache licences."""

_TIMEOUT_S: Final = 300.0
_PROOF: Final = """
import sys
sys.path.append(sys.argv[1])
import msgpack, zmq
print("msgpack", ".".join(map(str, msgpack.version)) + ", pyzmq", zmq.__version__)
"""


def put_wheels(
    python: HostPython, into: Path, *, environ: Mapping[str, str], wheels: Path | None = None
) -> str:
    """Install the packages for a Python into a folder; return their versions as text.

    Args:
        python: The host's Python.
        into: The folder, which is made.
        environ: The environment, with the settings of pip.
        wheels: A folder of wheels, for a machine without network access.

    Raises:
        HostError: No wheels fit, pip is missing, or the packages do not import in that Python.
    """
    if find_spec("pip") is None:
        raise HostError(
            f"pip is not installed in {sys.executable}",
            hint="install it there: python -m ensurepip",
        )
    command = [sys.executable, "-m", "pip", "install", "--target", str(into), *_how(python)]
    command += ["--no-index", "--find-links", str(wheels)] if wheels is not None else []
    try:
        done = run_command(
            [*command, *WANTED],
            environ={**clean_environ(environ), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            limit_s=_TIMEOUT_S,
        )
    except KwafluxError as error:
        raise _no_wheels(python, error.message) from error
    if done.status != 0:
        raise _no_wheels(python, _reason(done.errors))
    try:
        return printed_by(python.path, _PROOF, str(into), environ=environ).strip()
    except HostError as error:
        raise HostError(
            f"the wheels for {python.text} do not import in it: {error.message}",
            hint="check PYTHONPATH for another pyzmq or msgpack",
        ) from error


def _how(python: HostPython) -> list[str]:
    major, minor, _ = python.version
    how = ["--only-binary", ":all:", "--no-deps", "--no-compile", "--quiet", "--no-input"]
    how += ["--no-cache-dir"]  # without bytecode, removal leaves no files
    how += ["--implementation", "cp", "--python-version", f"{major}.{minor}", "--abi", python.abi]
    for name in python.platforms():
        how += ["--platform", name]
    return how


def _reason(stderr: str) -> str:
    """Return pip's last error, which is more specific than the first."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["pip printed no error"])[-1].removeprefix("ERROR: ")


def _no_wheels(python: HostPython, reason: str) -> HostError:
    return HostError(
        f"no wheels for {python.text} ({python.tag}): {reason}",
        hint="without network access, give a folder of wheels: --wheels DIR "
        f"(pip download {' '.join(repr(word) for word in WANTED)} on another machine)",
    )
