"""Photographs out of packages: only what is listed, only as listed, each in one split."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from kwaflux_core.errors import ImageError, ImageUnreadable
from kwaflux_models.training.degradations import camera_motion
from kwaflux_models.training.pictures import crops, sources
from kwaflux_models.training.pictures.debian_photos import (
    Photograph,
    PhotoPackage,
    fetch_photographs,
    photo_packages,
)
from kwaflux_models.training.pictures.sources import Picture

PHOTO = b"the bytes of a photograph"


def package_of(content: bytes = PHOTO, path: str = "usr/share/photos/one.jpg") -> PhotoPackage:
    listed = Photograph(path, "train", hashlib.sha256(content).hexdigest())
    return PhotoPackage("some-photos", "trixie", "1.0-1", "CC0-1.0", False, (listed,))


def install_tools(
    folder: Path, monkeypatch: pytest.MonkeyPatch, members: dict[str, bytes], *, pinned: bool = True
) -> Path:
    """Put an apt-get and a dpkg-deb on the path that know one package, and return their log."""
    folder.mkdir()
    tree, log = folder / "tree.tar", folder / "log"
    with tarfile.open(tree, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("./usr/share/photos/link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    refused = "" if pinned else 'case "$4" in *=*) exit 100;; esac\n'
    tools = {
        "apt-get": (
            f'echo "$3 $4" >> {log}\n{refused}[ "$3" = update ] || : > some-photos_1_all.deb\n'
        ),
        "dpkg-deb": f"/bin/cat {tree}\n",
    }
    for name, script in tools.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return log


def files_under(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def test_only_the_listed_pictures_leave_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {
        "./usr/share/photos/one.jpg": PHOTO,
        "./usr/share/photos/two.jpg": b"not listed",
        "../../escaped.jpg": b"outside",
    }
    log = install_tools(tmp_path / "bin", monkeypatch, members)
    fetch_photographs(tmp_path / "cache", package_of())
    photos = tmp_path / "cache" / "sources" / "some-photos"
    assert files_under(photos) == ["usr/share/photos/one.jpg"]
    assert (photos / "usr/share/photos/one.jpg").read_bytes() == PHOTO
    assert not list(tmp_path.rglob("escaped.jpg"))
    assert log.read_text().splitlines() == ["update ", "download some-photos=1.0-1"]
    fetch_photographs(tmp_path / "cache", package_of())
    assert len(log.read_text().splitlines()) == 2


def test_a_version_that_is_gone_gives_way_to_the_one_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {"./usr/share/photos/one.jpg": PHOTO}
    log = install_tools(tmp_path / "bin", monkeypatch, members, pinned=False)
    fetch_photographs(tmp_path / "cache", package_of())
    assert log.read_text().splitlines()[-1] == "download some-photos"
    assert not package_of().missing(tmp_path / "cache" / "sources" / "some-photos")


def test_a_picture_that_changed_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_tools(tmp_path / "bin", monkeypatch, {"./usr/share/photos/one.jpg": b"another"})
    with pytest.raises(ImageUnreadable, match=r"one\.jpg is another picture"):
        fetch_photographs(tmp_path / "cache", package_of())
    assert files_under(tmp_path / "cache" / "downloads" / "trixie")[-1] == "some-photos_1_all.deb"
    assert not (tmp_path / "cache" / "sources").exists()


@pytest.mark.parametrize("path", ["usr/share/photos/three.jpg", "usr/share/photos/link.jpg"])
def test_a_picture_that_is_absent_or_a_link_is_named(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_tools(tmp_path / "bin", monkeypatch, {"./usr/share/photos/one.jpg": PHOTO})
    with pytest.raises(ImageError, match=f"has no {path}"):
        fetch_photographs(tmp_path / "cache", package_of(path=path))


def test_every_listed_photograph_is_one_file_in_one_split() -> None:
    listed = [(p.name, one) for p in photo_packages() for one in p.photographs]
    assert len({one.sha256 for _, one in listed}) == len(listed) > 150
    assert len({(name, one.path) for name, one in listed}) == len(listed)
    assert all(len(one.sha256) == 64 for _, one in listed)
    tested = {sources.picture_source(path) for path in sources.pictures("test")}
    assert not tested & {package.name for package in photo_packages()}
    trained, watched = set(sources.pictures("train")), set(sources.pictures("valid"))
    for name, one in listed:
        assert f"{name}/{one.path}" in (trained if one.split == "train" else watched)
    assert all(sources.licences()[package.name] for package in photo_packages())


def test_a_pristine_picture_is_used_pixel_for_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    clip = camera_motion.film(
        Picture("some/one", "pristine", pixels), camera_motion.Path(), frames=1, side=32
    )
    curve = np.where(clip <= 0.0031308, 12.92 * clip, 1.055 * clip ** (1.0 / 2.4) - 0.055)
    codes = np.rint(255.0 * curve)
    assert np.array_equal(codes[0], pixels[16:48, 16:48])


def test_a_clip_is_drawn_from_pictures_that_are_large_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crops, "expose", lambda window, rng, *, is_linear: window)
    white = Picture("some/white", "pristine", np.full((32, 32, 3), 255, dtype=np.uint8))
    black = Picture("some/black", "display", np.zeros((60, 60, 3), dtype=np.uint8))
    for seed in range(8):
        clip = crops.draw_clip([white, black], np.random.default_rng(seed), frames=2, side=32)
        assert clip.shape == (2, 32, 32, 3)
        assert np.array_equal(clip, np.ones_like(clip))
    with pytest.raises(ImageError, match="large enough for 32"):
        crops.draw_clip([black], np.random.default_rng(0), frames=2, side=32)


def test_saturation_keeps_luma_and_never_falls_below_zero() -> None:
    window = np.random.default_rng(1).uniform(0.3, 0.6, (2, 8, 8, 3)).astype(np.float32)
    weights = np.array([0.2126, 0.7152, 0.0722])
    assert np.allclose(crops.saturate(window, 1.0), window, atol=1e-6)
    assert float(np.ptp(crops.saturate(window, 0.0), axis=-1).max()) < 1e-6
    paler = crops.saturate(window, 0.4)
    assert np.allclose(paler @ weights, window @ weights, atol=1e-5)
    assert np.allclose(np.ptp(paler, axis=-1), 0.4 * np.ptp(window, axis=-1), atol=1e-5)
    pure = np.array([[0.9, 0.0, 0.0]], dtype=np.float32)
    assert float(crops.saturate(pure, 2.2).min()) == 0.0


def test_three_clips_in_ten_are_recolored() -> None:
    clip = np.broadcast_to(np.array([0.6, 0.2, 0.1], np.float32), (1, 4, 4, 3))
    spreads = []
    for seed in range(300):
        lit = crops.expose(clip, np.random.default_rng(seed), is_linear=False)[0, 0, 0]
        spreads.append(float(lit[2] / lit[0]))
    untouched = sum(0.1 < spread < 0.25 for spread in spreads)
    assert 0.6 * 300 < untouched < 0.85 * 300
    assert min(spreads) < 0.02
    assert max(spreads) > 0.3
