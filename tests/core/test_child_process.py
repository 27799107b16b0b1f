"""Programs in child processes: results, errors, deadlines."""

from __future__ import annotations

import sys

import pytest

from kwaflux_core.child_process import run_command
from kwaflux_core.errors import DeadlineExceeded, WorkerError

_HANGS = "import time; time.sleep(60)"


def test_a_commands_status_and_both_outputs_are_returned() -> None:
    code = "import sys; print('out'); print('first\\nlast', file=sys.stderr); sys.exit(3)"
    result = run_command([sys.executable, "-c", code], limit_s=60.0)
    assert (result.status, result.output.split(), result.reason) == (3, ["out"], "last")
    with pytest.raises(WorkerError, match="last"):
        result.raise_for_status()


def test_a_command_that_failed_silently_has_its_status_as_the_reason() -> None:
    result = run_command([sys.executable, "-c", "raise SystemExit(7)"], limit_s=60.0)
    assert result.reason == "it ended with 7"
    run_command([sys.executable, "-c", ""], limit_s=60.0).raise_for_status()


def test_a_command_gets_the_environment_that_it_is_given() -> None:
    code = "import os; print(os.environ.get('KWAFLUX_A'), os.environ.get('HOME'))"
    result = run_command([sys.executable, "-c", code], limit_s=60.0, environ={"KWAFLUX_A": "b"})
    assert result.output.split() == ["b", "None"]


def test_a_command_that_is_missing_or_hangs_is_a_typed_error() -> None:
    with pytest.raises(WorkerError, match="does not run"):
        run_command(["/nowhere/program"], limit_s=60.0)
    with pytest.raises(DeadlineExceeded):
        run_command([sys.executable, "-c", _HANGS], limit_s=0.5)
