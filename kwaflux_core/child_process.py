"""Run a program in a child process, and wait for it no longer than a deadline.

A function of ours is called in a child by ``kwaflux_models.child_call``, which pickles arguments
and results: the core does not.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kwaflux_core.errors import DeadlineExceeded, WorkerError

__all__ = ["CommandResult", "run_command"]


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Hold how a command ended.

    Args:
        program: Its first word.
        status: Its exit status; negative: the signal that ended it.
        output: What it wrote to stdout.
        errors: What it wrote to stderr.
    """

    program: str
    status: int
    output: str
    errors: str

    @property
    def reason(self) -> str:
        """The last line of stderr, or else the exit status: why the command failed."""
        lines = self.errors.strip().splitlines()
        return lines[-1] if lines else f"it ended with {self.status}"

    def raise_for_status(self) -> None:
        """Do nothing where the status is 0.

        Raises:
            WorkerError: It is another.
        """
        if self.status != 0:
            raise WorkerError(f"{self.program}: {self.reason}")


def run_command(
    command: Sequence[str], *, limit_s: float, environ: Mapping[str, str] | None = None
) -> CommandResult:
    """Run a program without input, and return its status and what it printed.

    Args:
        command: The program and its arguments.
        limit_s: Seconds after which it is killed.
        environ: Its environment; None: this process's own.

    Raises:
        WorkerError: It cannot be started.
        DeadlineExceeded: It took too long.
    """
    try:
        done = subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DeadlineExceeded(f"{command[0]} took more than {limit_s:g} s") from error
    except OSError as error:
        raise WorkerError(f"{command[0]} does not run: {error.strerror or error}") from error
    return CommandResult(command[0], done.returncode, done.stdout, done.stderr)
