"""The error mountain: the loss on a sheet through the path that a training took.

Of the path θ_0, …, θ_T through the space of all parameters, with the mean c, the two principal
directions d₁, d₂ are those along which it is longest. Snapshot i lies at (u_i, v_i) on their plane
and off it by the residual r_i:

    θ_i = c + u_i d₁ + v_i d₂ + r_i

The plane alone would miss the path, and so the loss along it. The sheet

    θ(u, v) = c + u d₁ + v d₂ + Σ_i w_i(u, v) r_i,    w_i ∝ 1/|(u, v) − (u_i, v_i)|⁴,  Σ_i w_i = 1

goes through every snapshot (Shepard 1968), so that the height at a snapshot is its measured loss,
and at every other point the loss of the network with the parameters of that point. Running
statistics belong to the parameters beside them: they are Σ_i w_i s_i, and no direction is theirs.

The plane of principal directions: Li, Xu, Taylor, Studer and Goldstein 2018, "Visualizing the Loss
Landscape of Neural Nets", section 7.2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from symprop.backends import Array

POINTS = 45
"""Points along each side of the mountain: its features are as wide as the path is long."""
MARGIN = 0.3
"""How far the mountain goes on beyond the path, as a share of the path's longer side."""
NUMBERS = 1 << 24
"""How many parameters of all points are in memory at a time."""


@dataclass(frozen=True)
class Plane:
    """The path on the plane of its two principal directions.

    ``path`` has the coordinates (snapshots, 2), ``directions`` the rows d₁, d₂ of length 1,
    ``residuals`` the rows r_i; ``share`` is that of the plane in the variance of the path.
    """

    center: Array
    directions: Array
    path: Array
    residuals: Array
    share: float

    def sheet(self, points: Array) -> Array:
        """The parameters θ(u, v) at points (rows of u and v), one row each."""
        distance = ((points[:, None, :] - self.path[None, :, :]) ** 2).sum(axis=-1)
        nearest = distance.min(axis=1, keepdims=True)
        floor = np.finfo(np.float64).tiny
        weights = (np.maximum(nearest, floor) / np.maximum(distance, floor)) ** 2
        weights /= weights.sum(axis=1, keepdims=True)
        sheet: Array = self.center + points @ self.directions + weights @ self.residuals
        return sheet


@dataclass(frozen=True)
class Mountain:
    """Losses on a square grid: ``loss[i, j]`` at v_i and u_j."""

    u: Array
    v: Array
    loss: Array
    plane: Plane


def plane_of(path: Array, size: int | None = None) -> Plane:
    """The plane of a path, given as rows of parameters; of more than ``size`` numbers in a row the
    others are statistics.

    The principal directions are eigenvectors of the small matrix of the rows' inner products. A
    path along a line, or a point, has any other direction for its second.
    """
    rows = np.asarray(path, np.float64)
    center = rows.mean(axis=0)
    moved = rows - center
    small = moved.copy()
    small[:, rows.shape[1] if size is None else size :] = 0
    small /= np.abs(small).max() or 1.0
    values, vectors = np.linalg.eigh(small @ small.T)
    total = float(values.clip(0).sum())
    found = [
        small.T @ vectors[:, -1 - n]
        for n in range(min(2, len(rows)))
        if values[-1 - n] > 1e-12 * total > 0
    ]
    directions = _two_directions(found, rows.shape[1])
    coordinates = moved @ directions.T
    residuals = moved - coordinates @ directions
    kept = ((small @ directions.T) ** 2).sum()
    share = 1.0 if total == 0 else float(kept / total)
    return Plane(center, directions, coordinates, residuals, share)


def _two_directions(found: list[Array], size: int) -> Array:
    """Two directions of length 1 at right angles, the found ones first, then axes; 0 for the second
    where there is no other direction: of a single parameter.
    """
    kept: list[Array] = []
    for direction in (*found, *np.eye(min(size, 3), size)):
        rest = direction / np.linalg.norm(direction)
        for other in kept:
            rest = rest - (rest @ other) * other
        if np.linalg.norm(rest) > 1e-6:
            kept.append(rest / np.linalg.norm(rest))
    return np.stack([*kept, np.zeros(size)][:2])


def mountain(plane: Plane, loss: Callable[[Array], float], points: int = POINTS) -> Mountain:
    """The loss on the sheet around a path; ``loss`` gives it for a row of parameters."""
    low, high = plane.path.min(axis=0), plane.path.max(axis=0)
    side = float((high - low).max()) or 1.0
    half = (0.5 + MARGIN) * side
    u, v = (np.linspace(middle - half, middle + half, points) for middle in (low + high) / 2)
    grid = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
    together = max(1, NUMBERS // plane.center.size)
    found = [
        loss(row)
        for first in range(0, len(grid), together)
        for row in plane.sheet(grid[first : first + together])
    ]
    return Mountain(u, v, np.reshape(found, (points, points)), plane)
