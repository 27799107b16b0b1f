"""The codec: any bytes give a message or a ProtocolError, and a message survives its bytes."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import cast

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kwaflux_core.errors import ProtocolError
from kwaflux_core.protocol.codec import CodecLimits, Envelope, decode, encode
from kwaflux_core.protocol.messages import (
    MESSAGES,
    PROTOCOL_VERSION,
    Effects,
    Failed,
    FrameReport,
    InlinePixels,
    JobAccepted,
    JobEvent,
    Message,
    PathTarget,
    Ping,
    Planes,
    Pong,
    RangeReceipt,
    Render,
    Rendered,
    ShmPixels,
    ShmTarget,
    Source,
    Submit,
)
from kwaflux_core.protocol.render_options import RenderOptions

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_INT = st.integers(-(2**63), 2**63 - 1)
_SCALARS: Mapping[object, st.SearchStrategy[object]] = {
    str: _TEXT,
    int: _INT,
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    type(None): st.none(),
}


def _values(hint: object) -> st.SearchStrategy[object]:
    """A second, independent reading of the type hints: what a field may hold."""
    if hint in _SCALARS:
        return _SCALARS[hint]
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return st.sampled_from(args)
    if origin is tuple and args[-1] is Ellipsis:
        return st.lists(_values(args[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(_values, args))
    if origin is dict:
        return st.dictionaries(_TEXT, _values(args[1]), max_size=3)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(_values, args))
    assert isinstance(hint, type)
    hints = typing.get_type_hints(hint)
    fields = {field.name: _values(hints[field.name]) for field in dataclasses.fields(hint)}
    return st.builds(hint, **fields)


messages: st.SearchStrategy[Message] = st.one_of(*[_values(cls) for cls in MESSAGES.values()])

_RENDER = Render(
    "denoise(strength=0.6)",
    1001,
    (
        Source(1001, ShmPixels("s1-0", 4096, Planes((-8, 0, 100, 50), ("R", "G", "B", "A")))),
        Source(1002, InlinePixels(0, Planes((0, 0, 2, 2), ("R", "G", "B"), "f2"))),
    ),
    ShmTarget("s1-0", 1 << 20, 1 << 20),
    options=RenderOptions(colorspace="ACEScg"),
    region=(0, 0, 5, 5),
)


def _body(message: Message) -> dict[str, object]:
    header = msgpack.unpackb(bytes(encode(message, request_id=1)[0]))
    body = header["body"]
    assert isinstance(body, dict)
    return body


def _decode_body(kind: str, body: object, **header: object) -> Envelope:
    whole = {"v": PROTOCOL_VERSION, "kind": kind, "id": 1, "body": body, **header}
    return decode([msgpack.packb(whole)])


@given(messages, st.integers(0, 2**63 - 1), st.lists(st.binary(max_size=8), max_size=3))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_message_comes_back_as_it_was_sent(
    message: Message, request_id: int, parts: list[bytes]
) -> None:
    envelope = decode(encode(message, request_id=request_id, parts=parts))
    assert envelope == Envelope(message, request_id, tuple(parts))


def test_parts_are_handed_through_and_not_copied() -> None:
    pixels = bytearray(64)
    view = memoryview(pixels)
    frames = encode(_RENDER, request_id=3, parts=[view])
    assert frames[1] is view
    assert decode(frames).parts[0] is view


def test_nan_and_infinity_survive_in_a_receipt() -> None:
    receipt = RangeReceipt(-math.inf, math.inf, math.nan, 0.0, 0.0, 1, 2)
    sent = JobEvent("j", 5, "done", report=FrameReport(receipt))
    message = decode(encode(sent, request_id=1)).message
    assert isinstance(message, JobEvent)
    assert message.report is not None
    found = message.report.receipt
    assert (found.min_in, found.max_in) == (-math.inf, math.inf)
    assert math.isnan(found.min_out)


@given(st.binary(max_size=300), st.lists(st.binary(max_size=4), max_size=2))
@settings(deadline=None)
def test_any_bytes_give_a_message_or_a_protocol_error(header: bytes, parts: list[bytes]) -> None:
    with contextlib.suppress(ProtocolError):
        decode([header, *parts])


@given(messages, st.data())
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_message_gives_a_message_or_a_protocol_error(
    message: Message, data: st.DataObject
) -> None:
    header = bytearray(encode(message, request_id=9)[0])
    for _ in range(data.draw(st.integers(1, 4))):
        header[data.draw(st.integers(0, len(header) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(header)))
    for damaged in (header, header[:cut]):
        try:
            envelope = decode([bytes(damaged)])
        except ProtocolError:
            continue
        assert type(envelope.message) in MESSAGES.values()


_plain = st.recursive(
    st.one_of(
        st.none(), st.booleans(), _INT, st.floats(), st.text(max_size=4), st.binary(max_size=4)
    ),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.sampled_from(sorted(MESSAGES)), _plain, st.data())
@settings(deadline=None, max_examples=300)
def test_any_well_formed_body_gives_a_message_of_its_kind_or_a_protocol_error(
    kind: str, junk: object, data: st.DataObject
) -> None:
    names = [field.name for field in dataclasses.fields(MESSAGES[kind])]
    has_the_right_names: bool = data.draw(st.booleans())
    body = {name: data.draw(_plain) for name in names} if has_the_right_names else junk
    with contextlib.suppress(ProtocolError):
        assert type(_decode_body(kind, body).message) is MESSAGES[kind]


def test_fields_that_a_newer_peer_adds_are_ignored() -> None:
    assert _decode_body("ping", {"since": 2, "deep": {"er": [1]}}).message == Ping()
    body = {**_body(_RENDER), "quality": "high"}
    assert _decode_body("render", body, trace="x").message == _RENDER


def test_a_missing_field_with_a_default_takes_the_default() -> None:
    body = _body(Submit("a.exr", "b.exr", "denoise"))
    assert _decode_body("submit", {k: body[k] for k in ("source", "target", "flow")}).message == (
        Submit("a.exr", "b.exr", "denoise")
    )


def test_a_missing_field_without_a_default_is_named() -> None:
    body = _body(_RENDER)
    del body["flow"]
    with pytest.raises(ProtocolError, match=r"render\.flow should be a value but is nothing"):
        _decode_body("render", body)


def test_a_wrong_value_deep_inside_is_named_with_its_place() -> None:
    body = _body(_RENDER)
    sources = body["sources"]
    assert isinstance(sources, list)
    sources[1]["pixels"]["planes"]["window"][2] = "wide"
    with pytest.raises(ProtocolError) as caught:
        _decode_body("render", body)
    assert caught.value.fields["field"] == "render.sources[1].pixels.planes.window[2]"
    assert caught.value.fields["request"] == 1
    assert "should be int but is 'wide'" in caught.value.message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("frame", True),
        ("frame", 1.0),
        ("flow", 5),
        ("flow", None),
        ("urgency", "urgent"),
        ("urgency", 1),
        ("region", [0, 0, 5]),
        ("region", [0, 0, 5, True]),
        ("sources", {}),
        ("target", {"by": "carrier pigeon"}),
        ("target", {"by": ["shm"]}),
        ("target", {"path": "x.exr"}),
        ("target", None),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(field: str, value: object) -> None:
    with pytest.raises(ProtocolError, match=rf"render\.{field}"):
        _decode_body("render", {**_body(_RENDER), field: value})


def test_a_whole_number_is_taken_where_a_float_is_due_but_a_truth_value_is_not() -> None:
    timings = _body(Rendered(1, _RENDER.sources[0].pixels, FrameReport(_receipt())))
    report = timings["report"]
    assert isinstance(report, dict)
    found = _decode_body(
        "rendered", {**timings, "report": {**report, "timings": {"read_s": 2}}}
    ).message
    assert isinstance(found, Rendered)
    assert (found.report.timings.read_s, type(found.report.timings.read_s)) == (2.0, float)
    with pytest.raises(ProtocolError, match="read_s should be float but is True"):
        _decode_body("rendered", {**timings, "report": {**report, "timings": {"read_s": True}}})


def test_a_truth_value_stays_one_among_the_fields_of_an_error() -> None:
    fields = {"a": True, "b": 1, "c": 1.0, "d": None, "e": "x"}
    message = decode(encode(Failed("c", "m", fields=fields), request_id=1)).message
    assert isinstance(message, Failed)
    assert [type(value) for value in message.fields.values()] == [bool, int, float, type(None), str]


def test_a_target_is_read_by_its_tag() -> None:
    sent = dataclasses.replace(_RENDER, target=PathTarget("/out.exr"))
    assert decode(encode(sent, request_id=1)).message == sent


def test_a_newer_protocol_is_refused_with_both_versions() -> None:
    with pytest.raises(ProtocolError) as caught:
        _decode_body("ping", {}, v=PROTOCOL_VERSION + 1)
    assert f"protocol {PROTOCOL_VERSION + 1}" in caught.value.message
    assert f"has {PROTOCOL_VERSION}" in caught.value.message
    assert caught.value.fields == {
        "theirs": PROTOCOL_VERSION + 1,
        "ours": PROTOCOL_VERSION,
        "request": 1,
    }


@pytest.mark.parametrize("version", [None, 0, -1, True, "1", 1.0])
def test_a_version_that_is_none_is_refused(version: object) -> None:
    with pytest.raises(ProtocolError, match="without a protocol version"):
        _decode_body("ping", {}, v=version)


@pytest.mark.parametrize("request_id", [None, -1, True, "1", 1.5, 2**63])
def test_a_request_id_that_is_none_is_refused(request_id: object) -> None:
    with pytest.raises(ProtocolError, match="without a request id"):
        _decode_body("ping", {}, id=request_id)


@pytest.mark.parametrize("kind", [None, 5, [], "render ", "__class__", "x" * 1000])
def test_a_kind_that_is_none_is_refused_and_not_repeated_at_length(kind: object) -> None:
    with pytest.raises(ProtocolError, match="no message of kind") as caught:
        _decode_body(kind, {})  # type: ignore[arg-type]
    assert len(caught.value.message) < 100


def test_a_message_of_no_parts_at_all_is_refused() -> None:
    with pytest.raises(ProtocolError, match="without a header"):
        decode([])


@pytest.mark.parametrize(
    "header",
    [b"", b"\xc1", b"\x81\xa1v", b"\x91" * 5000, b"\xdf\xff\xff\xff\xff", b"\xc7\x04\x05abcd"],
)
def test_junk_is_refused(header: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode([header])


def test_a_header_beyond_the_limit_is_refused_before_it_is_read() -> None:
    frames = encode(Effects(("x" * 5000,)), request_id=1)
    assert decode(frames).message == Effects(("x" * 5000,))
    with pytest.raises(ProtocolError, match="header is over 4000 bytes"):
        decode(frames, limits=CodecLimits(header_bytes=4000))


def test_a_string_beyond_the_limit_is_refused() -> None:
    with pytest.raises(ProtocolError):
        decode(encode(Effects(("x" * 5000,)), request_id=1), limits=CodecLimits(string_bytes=4999))


def test_a_list_beyond_the_limit_is_refused() -> None:
    frames = encode(JobAccepted("j", tuple(range(5000))), request_id=1)
    assert len(decode(frames).message.frames) == 5000  # type: ignore[union-attr]
    with pytest.raises(ProtocolError):
        decode(frames, limits=CodecLimits(entries=4999))


def test_a_map_beyond_the_limit_is_refused() -> None:
    frames = encode(Failed("c", "m", fields={str(i): i for i in range(9)}), request_id=1)
    with pytest.raises(ProtocolError):
        decode(frames, limits=CodecLimits(entries=8))


def test_nesting_beyond_the_limit_is_refused_even_in_a_field_nobody_reads() -> None:
    def nested(levels: int) -> object:
        return [nested(levels - 1)] if levels else 0

    limits = CodecLimits(depth=6)
    header = {"v": 1, "kind": "pong", "id": 1, "body": {}}
    assert decode([msgpack.packb({**header, "x": nested(5)})], limits=limits).message == Pong()
    with pytest.raises(ProtocolError, match="nested deeper than 6"):
        decode([msgpack.packb({**header, "x": nested(6)})], limits=limits)


def test_too_many_parts_or_bytes_are_refused() -> None:
    frames = encode(Ping(), request_id=1, parts=[b"abcd"] * 3)
    header_bytes = len(frames[0])
    assert decode(frames, limits=CodecLimits(parts=3, total_bytes=header_bytes + 12))
    with pytest.raises(ProtocolError, match="3 parts"):
        decode(frames, limits=CodecLimits(parts=2))
    with pytest.raises(ProtocolError, match="message is over"):
        decode(frames, limits=CodecLimits(total_bytes=header_bytes + 11))


def test_a_part_of_wide_elements_counts_with_all_its_bytes() -> None:
    wide = cast("memoryview[int]", memoryview(bytearray(40)).cast("f"))
    with pytest.raises(ProtocolError, match="message is over"):
        decode(encode(Ping(), request_id=1, parts=[wide]), limits=CodecLimits(total_bytes=60))


@pytest.mark.parametrize(
    "message",
    [
        Submit("\udcff.exr", "b.exr", "denoise"),
        JobAccepted("j", (2**70,)),
        JobAccepted("j", (object(),)),  # type: ignore[arg-type]
    ],
)
def test_what_the_wire_cannot_carry_is_refused_by_the_sender(message: Message) -> None:
    with pytest.raises(ProtocolError, match="cannot be sent"):
        encode(message, request_id=1)


def test_ids_beyond_64_bits_are_refused_by_the_sender() -> None:
    with pytest.raises(ProtocolError, match="cannot be sent"):
        encode(Ping(), request_id=2**64)


def test_nothing_on_the_wire_is_an_extension_or_raw_bytes() -> None:
    for odd in (msgpack.ExtType(5, b"abcd"), msgpack.Timestamp(1), b"raw"):
        with pytest.raises(ProtocolError):
            _decode_body("ping", {"x": odd})


def _receipt() -> RangeReceipt:
    return RangeReceipt(0.0, 1.0, 0.0, 1.0, 0.0, 0, 0)
