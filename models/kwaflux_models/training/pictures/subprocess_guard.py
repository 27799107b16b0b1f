"""Run work in a child process that may die or hang, and wait for it no longer than told.

An encoder that fails an assertion ends the process it runs in: this one is not it.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import ParamSpec

import numpy as np
from numpy.typing import NDArray

from kwaflux_core.errors import DeadlineExceeded, KwafluxError, WorkerError, from_wire, to_wire

__all__ = ["run_guarded"]

Given = ParamSpec("Given")

_ARRAY, _ERROR = b"A", b"E"
_STOP_S = 2.0


def run_guarded(
    limit_s: float,
    work: Callable[Given, NDArray[np.float32]],
    *args: Given.args,
    **kwargs: Given.kwargs,
) -> NDArray[np.float32]:
    """Call a function in a new process and return its array.

    Args:
        limit_s: Seconds after which the child is ended.
        work: A function of a module (the child imports it by name).
        *args: Its arguments.
        **kwargs: Likewise.

    Raises:
        KwafluxError: what the function raised, of the same class.
        DeadlineExceeded: it took too long.
        WorkerError: the child died, or raised something that is no error of Kwaflux.
    """
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    child = spawn.Process(target=_call, args=(theirs, work, args, kwargs), daemon=True)
    until = time.monotonic() + limit_s
    child.start()
    theirs.close()
    name = getattr(work, "__name__", "work")
    patience_s = 0.0
    try:
        if not ours.poll(max(until - time.monotonic(), 0.0)):
            raise DeadlineExceeded(f"{name} took longer than {limit_s:g} seconds")
        answer = ours.recv_bytes()
        patience_s = _STOP_S
    except EOFError as error:
        child.join(_STOP_S)
        raise WorkerError(f"the process of {name} ended with {child.exitcode}") from error
    finally:
        ours.close()
        child.join(patience_s)
        if child.is_alive():
            child.kill()
            child.join(_STOP_S)
    if answer[:1] == _ERROR:
        raise from_wire(json.loads(answer[1:]))
    return np.asarray(np.load(io.BytesIO(answer[1:]), allow_pickle=False), dtype=np.float32)


def _call(
    pipe: Connection,
    work: Callable[..., NDArray[np.float32]],
    args: tuple[object, ...],
    kwargs: dict[str, object],
) -> None:
    """Call the function and send what came of it; runs in the child."""
    try:
        made = work(*args, **kwargs)
    except KwafluxError as error:
        pipe.send_bytes(_ERROR + json.dumps(to_wire(error)).encode())
    else:
        stream = io.BytesIO()
        np.save(stream, made, allow_pickle=False)
        pipe.send_bytes(_ARRAY + stream.getvalue())
    pipe.close()
