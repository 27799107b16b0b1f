"""The books of who is connected."""

from __future__ import annotations

from kwaflux_server.gateway.session import Sessions


def test_a_session_is_found_by_its_connection_and_by_its_name() -> None:
    sessions = Sessions(silence_s=10)
    first = sessions.open(b"a", client="nuke", now_s=5)
    second = sessions.open(b"b", client="resolve", now_s=6)
    assert sessions.of(b"a") is first
    assert sessions.named(second.name) is second
    assert (len(sessions), list(sessions)) == (2, [first, second])
    assert sessions.of(b"c") is None
    assert sessions.named("nobody") is None


def test_names_cannot_be_guessed_or_met_twice() -> None:
    sessions = Sessions(silence_s=10)
    names = {sessions.open(bytes([n]), client="x", now_s=0).name for n in range(200)}
    assert len(names) == 200
    assert all(len(name) >= 16 for name in names)


def test_a_closed_session_is_forgotten_and_may_be_closed_again() -> None:
    sessions = Sessions(silence_s=10)
    name = sessions.open(b"a", client="x", now_s=0).name
    sessions.close(b"a")
    sessions.close(b"a")
    assert sessions.of(b"a") is None
    assert sessions.named(name) is None


def test_who_was_not_heard_for_longer_than_the_limit_is_silent() -> None:
    sessions = Sessions(silence_s=10)
    quiet = sessions.open(b"a", client="x", now_s=0)
    lively = sessions.open(b"b", client="x", now_s=0)
    lively.heard_s = 8
    assert sessions.silent(now_s=10) == []
    assert sessions.silent(now_s=10.1) == [quiet]
    quiet.heard_s = float("-inf")  # one that cannot be reached
    assert sessions.silent(now_s=1) == [quiet]


def test_sessions_may_be_closed_while_they_are_gone_through() -> None:
    sessions = Sessions(silence_s=10)
    for n in range(3):
        sessions.open(bytes([n]), client="x", now_s=0)
    for session in sessions:
        sessions.close(session.identity)
    assert len(sessions) == 0
