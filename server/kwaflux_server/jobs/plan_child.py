"""The process that plans jobs: reads submissions from stdin, writes plans or errors to stdout.

Each message is a length (four bytes, big-endian) and that many bytes: a ``Submit`` as the protocol
encodes it, answered by a plan's JSON or by ``{"error": ...}``. The process ends with its input.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from typing import BinaryIO

from kwaflux_core.errors import KwafluxError, to_wire
from kwaflux_core.protocol.codec import CodecLimits, decode
from kwaflux_core.protocol.messages import Submit
from kwaflux_server.jobs.job_plan import plan_job
from kwaflux_server.path_guard import PathGuard

__all__ = ["LENGTH", "main"]

LENGTH = struct.Struct(">I")
"""The prefix of each message: its length in bytes."""


def main(arguments: list[str]) -> int:
    """Answer submissions until the input ends.

    Args:
        arguments: The largest frame in bytes, and the server's roots.
    """
    frame_bytes_max, guard = int(arguments[0]), PathGuard(arguments[1:])
    # Output of libraries must not mix with the answers.
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    while (data := _read(sys.stdin.buffer)) is not None:
        answer = _answer(data, guard=guard, frame_bytes_max=frame_bytes_max).encode()
        output.write(LENGTH.pack(len(answer)) + answer)
        output.flush()
    return 0


def _read(stream: BinaryIO) -> bytes | None:
    head = stream.read(LENGTH.size)
    return stream.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else None


def _answer(data: bytes, *, guard: PathGuard, frame_bytes_max: int) -> str:
    try:
        submit = decode([data], limits=CodecLimits()).message
        if not isinstance(submit, Submit):
            raise KwafluxError(f"a job cannot be planned from {submit.kind!r}")
        return plan_job(submit, guard=guard, frame_bytes_max=frame_bytes_max).to_json()
    except KwafluxError as error:
        return json.dumps({"error": to_wire(error)})
    except Exception as error:  # noqa: BLE001 - one submission must not end the process
        text = f"planning the job failed: {type(error).__name__}: {error}"
        return json.dumps({"error": to_wire(KwafluxError(text))})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
