"""Find the gradient that was rounded to steps, one code plane at a time.

Works on planes measured in code steps and must not know which code they come from, colors, tiles or
params.

A rounded value says where the true one lies: within half a step. The smoothest plane inside these
intervals is sought by filters that grow from one pixel to the full radius. Each halves the
contour's sharpness along one axis, never reaches across an edge (``_bridges``), and is taken only
where it stays inside the intervals, so that a curve that a wide filter would flatten keeps what a
narrower one made of it. What is left over is projected into the interval, so that no pixel moves
farther than rounding can have moved it.

Nothing is done where nothing says that there was rounding: a plateau has to meet another one at
about one step (``_evidence``), and most neighbors have to be equal (``_calm``); noise, grain and
float gradients are neither. There the correction is exactly zero.

Sources: the projection onto quantization intervals is that of A. Zakhor, "Iterative procedures for
reduction of blocking effects in transform image coding", IEEE TCSVT 1992, applied to samples; the
dilated edge-stopping filters are those of H. Dammertz et al., "Edge-avoiding a-trous wavelet
transform for fast global illumination filtering", HPG 2010, with stops that are chained from
neighbor to neighbor, so that a steep gradient is no edge.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["MAX_RADIUS_PX", "REACH_PX", "contour_correction"]

MAX_RADIUS_PX = 63
"""The farthest pixel that the smoothing reads: 1 + 2 + 4 + 8 + 16 + 32."""
REACH_PX = 112
"""At least as far as any pixel lies that has a say in a correction: the radius, a square's half
for each of the filters' six refusals and for the evidence, and the pixels of a step."""

_AXES = (-1, -2)
_FLAT_STEPS = 0.15
"""Neighbors that differ by less lie on one plateau: decoded codes are not quite whole numbers."""
_SQUARE_PX = 17
"""Side of the square in which evidence, unequal neighbors and leaving the interval are averaged."""
_STRAY_STEPS = (0.003, 0.02)
"""Mean excess over the interval at which a filter starts to be refused, and is."""
_EVIDENCE_SHARE = (0.008, 0.02)
"""Share of pixels at a clean step, of those around, that begins to count, and counts in full."""
_BUSY_SHARE = (0.45, 0.75)
"""Share of unequal neighbors, both axes summed, at which smoothing starts to end, and ends."""


def contour_correction(
    plane: Tensor, *, radius_px: int, threshold: float, spacing_px: int = 1
) -> Tensor | None:
    """Return what turns a plane's steps into gradients, or None where it has no steps.

    Args:
        plane: (1, C, H, W) float32, in code steps: neighboring codes differ by 1.
        radius_px: How far the smoothing reads, 1 to ``MAX_RADIUS_PX``.
        threshold: The farthest a pixel may move, in steps; rounding alone is 0.5.
        spacing_px: Over how many pixels a step is spread: 1 for a sharp one, more where the plane
            was enlarged.

    Returns:
        (1, C, H, W) in code steps, within -threshold..threshold; exactly zero where the plane is
        not banded.
    """
    evidence, calm = _judged(plane, threshold=threshold, spacing_px=spacing_px)
    if not bool((evidence > 0).any()):
        return None
    smooth = _smoothed(plane, radius_px=radius_px, threshold=threshold)
    weight = _spread(evidence, radius_px).mul_(calm)
    return (smooth - plane).clamp_(-threshold, threshold).mul_(weight)


def _smoothed(plane: Tensor, *, radius_px: int, threshold: float) -> Tensor:
    """Return the plane after all filters that stay inside the rounding intervals."""
    bridges = [_bridges(plane, axis, threshold) for axis in _AXES]
    smooth = plane
    accepted = torch.ones_like(plane)
    for step_px, share in _growing_steps(radius_px):
        wider = smooth
        for bridge, axis in zip(bridges, _AXES, strict=True):
            # Both sides or none: a filter that saw one side of a gradient would shift it.
            both = torch.minimum(bridge, _sides(bridge, step_px, axis)[0]).mul_(0.25 * share)
            before, after = _sides(wider, step_px, axis)
            wider = wider + both.mul_((before + after).sub_(wider, alpha=2.0))
        stray = (wider - plane).abs_().sub_(threshold).relu_()
        accepted = torch.minimum(accepted, 1.0 - _ramp(_mean(stray), _STRAY_STEPS))
        smooth = smooth + accepted * (wider - smooth)
        bridges = [
            torch.minimum(bridge, _sides(bridge, step_px, axis)[1])
            for bridge, axis in zip(bridges, _AXES, strict=True)
        ]
    return smooth


def _growing_steps(radius_px: int) -> list[tuple[int, float]]:
    """Return the filters' distances, doubling; the last counts for the share it lies inside."""
    steps = []
    step_px, reach_px = 1, 0
    while reach_px < radius_px:
        steps.append((step_px, min(1.0, (radius_px - reach_px) / step_px)))
        reach_px += step_px
        step_px *= 2
    return steps


def _bridges(plane: Tensor, axis: int, threshold: float) -> Tensor:
    """Return how well each pixel is connected with the next: 1 on a gradient, 0 at an edge."""
    apart = (_sides(plane, 1, axis)[1] - plane).abs_()
    return 1.0 - _ramp(apart, (0.75 + threshold, 1.5 + threshold))


def _judged(plane: Tensor, *, threshold: float, spacing_px: int) -> tuple[Tensor, Tensor]:
    """Return how surely there are steps around each pixel, and how calm it is there; 0..1 both.

    A step is a plateau, one step's rise or fall, and a plateau. Calm is where most neighbors are
    equal: noise, grain and texture are not.
    """
    evidence, busy = torch.zeros_like(plane), torch.zeros_like(plane)
    for axis in _AXES:
        rise = _sides(plane, spacing_px, axis)[1] - plane
        apart = rise.abs()
        flat = (apart < _FLAT_STEPS).to(plane.dtype)
        busy += 1.0 - flat
        before, after = _sides(flat, spacing_px, axis)
        is_step = (apart > 0.6) & (apart < 0.9 + threshold)
        # The steps of a gradient lead the same way; those of a faint texture cancel out.
        signed = rise.sign_().mul_(is_step).mul_(before * after)
        evidence = torch.maximum(evidence, _mean(signed).abs_())
    return _ramp(evidence, _EVIDENCE_SHARE), 1.0 - _ramp(_mean(busy), _BUSY_SHARE)


def _spread(weight: Tensor, radius_px: int) -> Tensor:
    """Return the weight carried to what the smoothing reaches: in full half the way, then less."""
    for step_px, share in _growing_steps(radius_px):
        length_px = max(1, round(step_px * share))
        for axis in _AXES:
            around = torch.maximum(*_sides(weight, length_px, axis))
            weight = torch.maximum(weight, around.sub_(length_px / radius_px))
    return (2.0 * weight).clamp_(max=1.0)


def _mean(plane: Tensor) -> Tensor:
    """Return the mean of the square around each pixel; zeros stay exactly zero."""
    half_px = _SQUARE_PX // 2
    total = F.pad(plane, (half_px,) * 4, mode="replicate")
    for axis in _AXES:
        total = _sum_of_window(total, axis)
    return total.div_(_SQUARE_PX**2)


def _sum_of_window(plane: Tensor, axis: int) -> Tensor:
    """Return sums over ``_SQUARE_PX`` pixels along an axis, which gets that much shorter."""
    count = plane.shape[axis] - _SQUARE_PX + 1
    total = plane
    width = 1
    while 2 * width < _SQUARE_PX:
        length = total.shape[axis] - width
        total = total.narrow(axis, 0, length) + total.narrow(axis, width, length)
        width *= 2
    return total.narrow(axis, 0, count) + plane.narrow(axis, _SQUARE_PX - 1, count)


def _ramp(values: Tensor, ends: tuple[float, float]) -> Tensor:
    """Return 0 at the first end, 1 at the second, straight between."""
    low, high = ends
    return ((values - low) / (high - low)).clamp_(0.0, 1.0)


def _sides(plane: Tensor, by_px: int, axis: int) -> tuple[Tensor, Tensor]:
    """Return what stands ``by_px`` before and after each pixel, the border repeated. Views."""
    pads = (by_px, by_px, 0, 0) if axis == -1 else (0, 0, by_px, by_px)
    padded = F.pad(plane, pads, mode="replicate")
    length = plane.shape[axis]
    return padded.narrow(axis, 0, length), padded.narrow(axis, 2 * by_px, length)
