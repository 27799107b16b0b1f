"""Functions called in child processes: results, errors, deadlines."""

from __future__ import annotations

import multiprocessing
import os
import time

import pytest

from kwaflux_core.errors import DeadlineExceeded, FlowError, WorkerError
from kwaflux_core.flows.flow_parser import parse_steps
from kwaflux_core.geometry import Box
from kwaflux_models.child_call import call_in_child


def test_a_child_returns_what_the_function_returned() -> None:
    box = Box.from_size(6, 4)
    assert call_in_child(60.0, Box.intersection, box, Box(2, 2, 9, 9)) == Box(2, 2, 6, 4)
    assert not multiprocessing.active_children()


def test_an_error_in_a_child_keeps_its_class_and_fields() -> None:
    with pytest.raises(FlowError) as here:
        parse_steps("denoise(")
    with pytest.raises(FlowError) as there:
        call_in_child(60.0, parse_steps, "denoise(")
    assert there.value.column == here.value.column
    assert str(there.value) == str(here.value)


def test_a_child_that_dies_or_hangs_is_a_typed_error() -> None:
    with pytest.raises(WorkerError, match="abort ended with -6"):
        call_in_child(60.0, os.abort)
    with pytest.raises(DeadlineExceeded):
        call_in_child(0.5, time.sleep, 60)
    assert not multiprocessing.active_children()
