"""One record of options reaches every way in: a new field needs no other change."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields

import pytest
from typer.main import get_command

from kwaflux_core.protocol.codec import decode, encode
from kwaflux_core.protocol.messages import Render, RenderOptions, Submit
from kwaflux_hosting.batch.results_index import RenderRequest
from kwaflux_server.cli.main import app
from kwaflux_server.jobs.job_feed import JobFeed
from kwaflux_server.jobs.job_plan import JobPlan

FIELDS = fields(RenderOptions)
_EVERY_FIELD = pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)


def _another(field: Field[object]) -> RenderOptions:
    """Return options in which one field has not its default."""
    others = {"alpha": "straight", "existing": "verify"}
    value = not field.default if isinstance(field.default, bool) else others.get(field.name, "x")
    return RenderOptions(**{field.name: value})  # type: ignore[arg-type]


@_EVERY_FIELD
def test_a_field_has_a_default_and_a_help(field: Field[object]) -> None:
    assert field.default is not MISSING
    assert field.metadata["help"]


@_EVERY_FIELD
def test_a_field_is_an_option_of_enhance_with_its_help(field: Field[object]) -> None:
    (command,) = [c for name, c in get_command(app).commands.items() if name == "enhance"]  # type: ignore[attr-defined]
    (param,) = [each for each in command.params if each.name == field.name]
    assert param.opts == [f"--{field.name}"]
    assert param.help == field.metadata["help"]
    assert param.default == field.default


@_EVERY_FIELD
def test_a_field_crosses_the_wire_and_reaches_every_frame_of_a_job(field: Field[object]) -> None:
    options = _another(field)
    submit = Submit("/a.####.exr", "/b.####.exr", "soft", options=options)
    assert decode(encode(submit, request_id=1)).message == submit
    plan = JobPlan((1, 2), (1, 2), is_movie=False)
    feed = JobFeed("j", submit, tasks=plan.tasks(submit), clip=plan.clip_paths(submit), window=2)
    request = feed.next_request()
    assert isinstance(request, Render)
    assert request.options == options
    assert decode(encode(request, request_id=1)).message == request


@_EVERY_FIELD
def test_a_field_changes_what_a_host_takes_a_result_to_be_made_with(field: Field[object]) -> None:
    assert RenderRequest(flow="soft", options=_another(field)).key != RenderRequest(flow="soft").key
