"""What a JPEG says of its quantizer."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import OpenImageIO
import pytest

from kwaflux_core import read_image
from kwaflux_core.images.coding import JPEG_LUMA, detail_mean, jpeg_coding


def jpeg(path: Path, quality: int) -> bytes:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
    spec = OpenImageIO.ImageSpec(48, 40, 3, "uint8")
    spec.attribute("Compression", f"jpeg:{quality}")
    out = OpenImageIO.ImageOutput.create(str(path))
    assert out is not None
    out.open(str(path), spec)
    out.write_image(pixels)
    out.close()
    return path.read_bytes()


@pytest.mark.parametrize("quality", [10, 25, 50, 75, 90, 98])
def test_a_jpegs_quality_is_read_from_its_table(tmp_path: Path, quality: int) -> None:
    found = jpeg_coding(jpeg(tmp_path / "a.jpg", quality))
    assert found is not None
    assert found.is_jpeg
    assert int(found.words.removeprefix("JPEG quality ")) == pytest.approx(quality, abs=1)
    scale = 50.0 / quality if quality < 50 else 2.0 - quality / 50.0
    assert found.step == pytest.approx(max(detail_mean(JPEG_LUMA) * scale, 1.0), rel=0.12)


def test_a_read_jpeg_carries_it_and_a_png_has_none(tmp_path: Path) -> None:
    jpeg(tmp_path / "a.jpg", 60)
    image = read_image(tmp_path / "a.jpg", colorspace="sRGB - Display")
    assert image.coding is not None
    assert image.coding.words == "JPEG quality 60"


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 20, 25, 60, 90])
def test_a_damaged_start_says_nothing_and_raises_nothing(tmp_path: Path, cut: int) -> None:
    data = jpeg(tmp_path / "a.jpg", 60)
    assert jpeg_coding(data[:cut]) is None
    rng = np.random.default_rng(cut)
    noise = bytearray(data[:400])
    for at in rng.integers(2, 400, 60):
        noise[at] = int(rng.integers(0, 256))
    jpeg_coding(bytes(noise))
    jpeg_coding(io.BytesIO(data).read()[: 400 - cut])
