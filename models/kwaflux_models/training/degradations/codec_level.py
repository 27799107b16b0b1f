"""Say how coarse a codec is at a quality, on one scale for all of them.

Pure arithmetic; must not know encoders or pixels.

The unit is one 8-bit code value (1/255 of the display range) in a transform scaled to preserve
energy. A step of s leaves an error of at most s / sqrt(12) root mean square where every coefficient
is coded; in practice less, since what is zero stays zero.

Source: ITU-T T.81 table K.1 (JPEG's luma table) and the Independent JPEG Group's scaling by
quality; ITU-T H.264 (04/2017) section 8.5.9 and I. E. Richardson, "The H.264 Advanced Video
Compression Standard", 2nd ed., section 7.2.3 (Qstep = 0.625 * 2^(QP/6)); ISO/IEC 13818-2 section
7.4.2 (default intra matrix; weight * quantiser_scale / 16); ISO/IEC 14496-2 section 7.4.4.1.2 (step
2 QP); A. Grange et al., "VP9 Bitstream and Decoding Process Specification" v0.6 section 8.6.1
(ac_qlookup).
"""

from __future__ import annotations

import numpy as np

from kwaflux_core.images.coding import JPEG_LUMA, MPEG_INTRA, detail_mean, h264_step

__all__ = ["quantizer_step"]

# Knots of ac_qlookup: a straight line between them is within 2 % of the table.
_VP9_INDEX = (0, 1, 95, 120, 137, 154, 171, 188, 205, 222, 239, 255)
_VP9_STEP = (4, 8, 102, 152, 203, 275, 366, 492, 676, 933, 1292, 1828)

_PROFILES: dict[str, tuple[float, ...]] = {
    "prores": (7.0, 2.7, 1.7, 1.0),
    "dv": (2.5, 2.5, 2.2),
    "dnxhd": (4.5, 2.7, 2.0),
}
"""Steps of codecs with a fixed rate, whose quantizer follows the content.

Stated constants: the step of an H.264 stream that has the same error in luma on a detailed
photograph under a pan of 3 pixels a frame.
"""

_VP9_SHARE = 0.25
"""What is left of the step that libvpx' rate factor names, by the same measure.

Short clips get their rate in the first and the hidden frame.
"""


def quantizer_step(codec: str, quality: int) -> float:
    """Estimate a codec's mean quantizer step.

    Args:
        codec: A key of `kwaflux_models.training.degradations.codec_roundtrip.CODECS`.
        quality: The quality on that codec's own scale.

    Returns:
        The step in 8-bit code values, above 0. For h264, h265 and vp9 the rate factor stands for
        the quantizer (an encoder moves it up and down by a few steps as the content asks), and
        10-bit streams have the step of an 8-bit one of the same rate factor.

    Raises:
        KeyError: no such codec.
    """
    if codec in _PROFILES:
        return _PROFILES[codec][min(max(quality, 0), len(_PROFILES[codec]) - 1)]
    if codec == "jpeg":
        bounded = min(max(quality, 1), 100)
        scale = 50.0 / bounded if bounded < 50 else 2.0 - bounded / 50.0
        return max(detail_mean(JPEG_LUMA) * scale, 1.0)
    if codec in ("mjpeg", "mpeg1", "mpeg2"):
        return detail_mean(MPEG_INTRA) * quality / 8.0
    if codec == "mpeg4":
        return 2.0 * quality
    if codec == "vp9":
        return float(np.interp(quality * 255.0 / 63.0, _VP9_INDEX, _VP9_STEP)) / 8.0 * _VP9_SHARE
    if codec in ("h264", "h264_10", "h265", "h265_10"):
        return h264_step(quality)
    raise KeyError(codec)
