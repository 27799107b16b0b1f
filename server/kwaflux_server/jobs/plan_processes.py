"""The planner: plans jobs in child processes, where disks and movies cannot block the gateway.

A process that answered is reused; one that failed or missed its deadline is killed and not waited
for, because a call into an unresponsive share cannot be interrupted. It does not use
``kwaflux_models.child_call``, which waits: the gateway's one thread must not.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from kwaflux_core.errors import (
    DeadlineExceeded,
    ImageUnreadable,
    KwafluxError,
    Unavailable,
    WorkerError,
    from_wire,
)
from kwaflux_core.images.io import is_movie
from kwaflux_core.protocol.codec import encode
from kwaflux_core.protocol.messages import Submit
from kwaflux_server.jobs.job_plan import JobPlan
from kwaflux_server.jobs.plan_child import LENGTH

__all__ = ["JobPlanner", "PendingPlan"]

_PROCESSES_MAX: Final = 8
_SEQUENCE_S: Final = 30.0
_MOVIE_S: Final = 300.0
_KILLED_S: Final = 1.0
_CHUNK: Final = 1 << 16


class JobPlanner:
    """Start plans, each in a child process, and keep one idle process ready.

    Args:
        roots: Folders that may contain a job's files.
        frame_bytes_max: Largest accepted frame of a movie, in bytes.
        sequence_s: Deadline for planning a sequence, in seconds.
        movie_s: Deadline for planning a movie, which may be read to its end, in seconds.
        clock: Monotonic time in seconds.
        command: The child process; default: ``plan_child`` in this interpreter.

    Thread: one.
    """

    def __init__(
        self,
        roots: Sequence[str],
        *,
        frame_bytes_max: int,
        sequence_s: float = _SEQUENCE_S,
        movie_s: float = _MOVIE_S,
        clock: Callable[[], float] = time.monotonic,
        command: Sequence[str] = (),
    ) -> None:
        default = [sys.executable, "-m", "kwaflux_server.jobs.plan_child"]
        default += [str(frame_bytes_max), *roots]
        self._command = list(command) or default
        self._sequence_s = sequence_s
        self._movie_s = movie_s
        self._clock = clock
        self._idle: list[subprocess.Popen[bytes]] = []
        self._busy = 0
        self._killed: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start a process ahead of the first job."""
        self._idle.append(self._spawn())

    def begin(self, submit: Submit) -> PendingPlan:
        """Start planning a job; returns at once.

        Raises:
            Unavailable: Too many plans are unfinished, because disks do not answer.
        """
        if self._busy >= _PROCESSES_MAX:
            raise Unavailable(
                f"{self._busy} jobs are already being planned, and their disks do not answer",
                hint="try again later; kwaflux status shows the server's state",
            )
        while self._idle and self._idle[-1].poll() is not None:
            _close(self._idle.pop())
        process = self._idle.pop() if self._idle else self._spawn()
        self._busy += 1
        limit_s = self._movie_s if is_movie(submit.source) else self._sequence_s
        return PendingPlan(
            submit, process, limit_s=limit_s, clock=self._clock, on_end=self._take_back
        )

    def close(self) -> None:
        """End the processes; those blocked by an unresponsive disk are left to the system."""
        while self._idle:
            self._kill(self._idle.pop())
        for process in self._killed:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_KILLED_S)

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )

    def _take_back(self, process: subprocess.Popen[bytes], *, is_reusable: bool) -> None:
        self._busy -= 1
        if is_reusable and not self._idle:
            self._idle.append(process)
        else:
            self._kill(process)

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.kill()
        _close(process)
        self._killed = [each for each in (*self._killed, process) if each.poll() is None]


class PendingPlan:
    """An unfinished plan in a child process. Made by ``JobPlanner.begin``."""

    def __init__(
        self,
        submit: Submit,
        process: subprocess.Popen[bytes],
        *,
        limit_s: float,
        clock: Callable[[], float],
        on_end: Callable[..., None],
    ) -> None:
        self.submit = submit
        self._process = process
        self._limit_s = limit_s
        self._clock = clock
        self._on_end = on_end
        self._deadline_s = clock() + limit_s
        (header,) = encode(submit, request_id=0)
        self._unsent = LENGTH.pack(len(header)) + bytes(header)
        self._answer = bytearray()
        self._is_broken = self._is_ended = False
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
        self._exchange()

    def fileno(self) -> int:
        """Return the file descriptor that becomes readable when the process answers or ends."""
        return -1 if self._process.stdout is None else self._process.stdout.fileno()

    def is_done(self) -> bool:
        """Return whether ``result`` returns at once; true after the deadline. Never waits."""
        self._exchange()
        return self._is_broken or self._is_whole() or self._clock() >= self._deadline_s

    def result(self) -> JobPlan:
        """Return the plan; waits for it. Call it once.

        Raises:
            KwafluxError: The error of the job.
            DeadlineExceeded: The disk did not answer in time, or a movie took too long to read.
            ImageUnreadable: A movie crashed the process that read it.
        """
        while not self.is_done():
            time.sleep(0.002)
        is_whole = self._is_whole()
        self.end(is_reusable=is_whole)
        if is_whole:
            return _plan(bytes(self._answer[LENGTH.size :]))
        path = self.submit.source
        if not self._is_broken:
            raise DeadlineExceeded(
                f"reading {path} took more than {self._limit_s:.0f} s",
                hint="check that its disk answers; split a long movie",
                path=path,
            )
        if is_movie(path):
            raise ImageUnreadable(
                f"{path} cannot be read as a movie: it crashed the decoder",
                hint="copy or export the movie again",
                path=path,
            )
        raise WorkerError(
            f"the process that read {path} ended", hint="try again; see the server's log"
        )

    def end(self, *, is_reusable: bool = False) -> None:
        """Cancel the plan. Idempotent."""
        if not self._is_ended:
            self._is_ended = True
            self._on_end(self._process, is_reusable=is_reusable)

    def _is_whole(self) -> bool:
        if len(self._answer) < LENGTH.size:
            return False
        (length,) = LENGTH.unpack_from(self._answer)
        return len(self._answer) >= LENGTH.size + int(length)

    def _exchange(self) -> None:
        """Send and read as many bytes as possible without waiting."""
        if self._is_ended or self._process.stdin is None or self._process.stdout is None:
            return
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._process.stdin.fileno(), self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self._is_broken = True
        try:
            while chunk := os.read(self._process.stdout.fileno(), _CHUNK):
                self._answer += chunk
            self._is_broken = self._is_broken or not self._is_whole()
        except BlockingIOError:
            pass


def _plan(answer: bytes) -> JobPlan:
    record = json.loads(answer)
    if "error" in record:
        problem: KwafluxError = from_wire(record["error"])
        raise problem
    return JobPlan.from_json(answer)


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
