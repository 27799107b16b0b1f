"""The vocabulary of the wire, held against its own rules."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import pytest

from kwaflux_core.protocol import messages
from kwaflux_core.protocol.dataclass_codec import reader_of, writer_of
from kwaflux_core.protocol.messages import MESSAGES, Message, PixelRef, Target


def test_every_message_of_the_union_is_registered_under_its_kind() -> None:
    assert set(MESSAGES.values()) == set(typing.get_args(Message))
    assert all(cls.kind == kind for kind, cls in MESSAGES.items())


@pytest.mark.parametrize("kind", sorted(MESSAGES))
def test_every_message_can_be_read_and_written(kind: str) -> None:
    assert callable(reader_of(MESSAGES[kind]))
    assert callable(writer_of(MESSAGES[kind]))


@pytest.mark.parametrize("kind", sorted(MESSAGES))
def test_every_message_is_a_frozen_slotted_dataclass(kind: str) -> None:
    cls = MESSAGES[kind]
    assert dataclasses.is_dataclass(cls)
    assert typing.cast(Any, cls).__dataclass_params__.frozen
    assert "__slots__" in vars(cls)


@pytest.mark.parametrize("union", [PixelRef, Target])
def test_the_tags_of_a_tagged_union_differ(union: object) -> None:
    tags = [member.by for member in typing.get_args(union)]
    assert len(set(tags)) == len(tags)


def test_no_field_of_a_message_has_the_name_of_a_tag() -> None:
    for cls in (*typing.get_args(PixelRef), *typing.get_args(Target)):
        assert "by" not in {field.name for field in dataclasses.fields(cls)}


def test_the_public_names_are_sorted_and_there() -> None:
    assert all(hasattr(messages, name) for name in messages.__all__)
    assert sorted(set(messages.__all__)) == sorted(messages.__all__)
