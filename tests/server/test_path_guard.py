"""What a client may touch."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from kwaflux_core.errors import PathNotAllowed, ProtocolError, RequestError
from kwaflux_core.protocol.messages import (
    InlineTarget,
    PathPixels,
    PathTarget,
    PixelRef,
    Planes,
    Render,
    ShmPixels,
    ShmTarget,
    Source,
    Target,
)
from kwaflux_server.path_guard import PathGuard, check_names

PLANES = Planes((0, 0, 4, 4), ("R", "G", "B"))


def _render(pixels: PixelRef, target: Target | None = None) -> Render:
    return Render("denoise", 1, (Source(1, pixels),), target or InlineTarget())


@pytest.mark.parametrize("path", ["plate.exr", "", "./plate.exr", "~/plate.exr", "/tmp/a\0b"])
def test_a_path_that_is_not_absolute_is_refused(path: str) -> None:
    with pytest.raises(PathNotAllowed, match="absolute"):
        PathGuard(("/",)).check(path)


def test_a_path_in_a_root_is_allowed_whether_it_is_there_or_not(tmp_path: Path) -> None:
    guard = PathGuard((str(tmp_path), "/somewhere/else"))
    guard.check(str(tmp_path))
    guard.check(str(tmp_path / "a" / "b.exr"))
    guard.check("/somewhere/else/c.exr")


def test_a_path_outside_every_root_is_refused_with_the_roots_named(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    guard = PathGuard((str(inside),))
    (inside / "link").symlink_to(outside)
    (outside / "home").symlink_to(inside)
    for path in (
        outside / "a.exr",
        inside / ".." / "out" / "a.exr",
        inside / "link" / "a.exr",
        tmp_path / "in-and-more" / "a.exr",
    ):
        with pytest.raises(PathNotAllowed) as caught:
            guard.check(str(path))
        assert str(inside) in caught.value.hint
    guard.check(str(outside / "home" / "a.exr"))


def test_a_root_that_is_a_link_stands_for_where_it_leads(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    guard = PathGuard((str(link),))
    guard.check(str(real / "a.exr"))
    guard.check(str(link / "a.exr"))


def test_without_roots_nothing_is_allowed() -> None:
    with pytest.raises(PathNotAllowed):
        PathGuard(()).check("/a.exr")


@pytest.mark.parametrize("role", ["source", "neighbor", "target"])
def test_every_path_of_a_render_is_checked(role: str, tmp_path: Path) -> None:
    good, bad = str(tmp_path / "a.exr"), "/etc/a.exr"
    render = Render(
        "denoise",
        1,
        (
            Source(1, PathPixels(bad if role == "source" else good)),
            Source(2, PathPixels(bad if role == "neighbor" else good)),
        ),
        PathTarget(bad if role == "target" else str(tmp_path / "b.exr")),
    )
    with pytest.raises(PathNotAllowed, match=r"/etc/a\.exr"):
        PathGuard((str(tmp_path),)).check_files(render)


@pytest.mark.parametrize("ring", ["s2.0", "s1", "s11.0", "../s1.0", "s1.0/x", "", "s1.0\n"])
def test_a_ring_must_be_the_sessions_own(ring: str) -> None:
    with pytest.raises(ProtocolError):
        check_names(_render(ShmPixels(ring, 0, PLANES)), session="s1")
    own = ShmPixels("s1.0", 0, PLANES)
    with pytest.raises(ProtocolError):
        check_names(_render(own, ShmTarget(ring, 0, 64)), session="s1")
    check_names(_render(own, ShmTarget("s1.3", 0, 64)), session="s1")


def test_a_target_that_is_a_source_under_any_name_is_refused(tmp_path: Path) -> None:
    source, link, hard = (tmp_path / f"{name}.exr" for name in ("source", "link", "hard"))
    source.write_bytes(b"pixels")
    link.symlink_to(source)
    os.link(source, hard)
    guard = PathGuard((str(tmp_path),))
    render = _render(PathPixels(str(source)))
    for target in (source, link, hard, tmp_path / "x" / ".." / "source.exr"):
        asked = replace(render, target=PathTarget(str(target)))
        with pytest.raises(RequestError, match="also the source"):
            guard.check_files(asked)
    fine = replace(render, target=PathTarget(str(tmp_path / "other.exr")))
    guard.check_files(fine)


@pytest.mark.parametrize("path", ["plate.exr", "", "/tmp/a\0b"])
def test_a_relative_path_is_refused_without_a_look_at_the_disk(path: str) -> None:
    with pytest.raises(PathNotAllowed):
        check_names(_render(PathPixels(path)), session="s1")
