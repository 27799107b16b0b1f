"""Call a function in a child process, and wait for it no longer than a deadline.

A library that aborts or hangs there, as encoders do, costs one call and not this process.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Final, ParamSpec, TypeVar

from kwaflux_core.errors import DeadlineExceeded, KwafluxError, WorkerError

__all__ = ["call_in_child"]

Params = ParamSpec("Params")
Result = TypeVar("Result")

_STOP_S: Final = 2.0


def call_in_child(
    limit_s: float,
    work: Callable[Params, Result],
    *args: Params.args,
    **kwargs: Params.kwargs,
) -> Result:
    """Call a function in a new process and return its result.

    Arguments and result are pickled on their way: the child runs our own code with this process's
    rights, and is no boundary against anybody.

    Args:
        limit_s: Seconds after which the child is killed.
        work: A function of a module (the child imports it by name).
        *args: Its arguments.
        **kwargs: Likewise.

    Raises:
        KwafluxError: What the function raised, of the same class.
        DeadlineExceeded: It took too long.
        WorkerError: The child died, or raised something that is no error of Kwaflux.

    Thread: any.
    """
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    child = spawn.Process(target=_call, args=(theirs, work, args, kwargs), daemon=True)
    until_s = time.monotonic() + limit_s
    child.start()
    theirs.close()
    name = getattr(work, "__name__", "work").lstrip("_")
    patience_s = 0.0
    try:
        if not ours.poll(max(until_s - time.monotonic(), 0.0)):
            raise DeadlineExceeded(f"{name} took more than {limit_s:g} s")
        result, problem = ours.recv()
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
    if problem is not None:
        raise problem
    answer: Result = result
    return answer


def _call(
    pipe: Connection,
    work: Callable[..., object],
    args: tuple[object, ...],
    kwargs: dict[str, object],
) -> None:
    """Call the function and send its result or error; runs in the child."""
    try:
        result = work(*args, **kwargs)
    except KwafluxError as error:
        pipe.send((None, error))
    else:
        pipe.send((result, None))
    pipe.close()
