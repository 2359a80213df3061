"""The 48 ways to turn and mirror a volume along its own axes, without resampling: to train, and for further views."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class AxisTurn:
    """New x, y, z axes are the old ones in ``order``; then those with True in ``flips`` are reversed."""

    order: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)

    @classmethod
    def all(cls) -> list[AxisTurn]:
        """The 48 of them."""
        flips = list(product((False, True), (False, True), (False, True)))
        return [cls((x, y, z), flip) for x, y, z in permutations(range(3)) for flip in flips]

    @classmethod
    def random(cls, rng: np.random.Generator) -> AxisTurn:
        """One of the 48, each with the same probability."""
        x, y, z = list(permutations(range(3)))[rng.integers(6)]
        flip_x, flip_y, flip_z = (bool(flip) for flip in rng.random(3) < 0.5)
        return cls((x, y, z), (flip_x, flip_y, flip_z))

    @property
    def mirrors(self) -> bool:
        """Whether it makes left of right."""
        return bool(np.linalg.det(np.eye(3)[list(self.order)]) * (-1) ** sum(self.flips) < 0)

    def apply(self, image: Tensor) -> Tensor:
        """The turned image (..., nz, ny, nx)."""
        turned = image.movedim([2 - axis - 3 for axis in self.order], (-1, -2, -3))
        return turned.flip([-1 - axis for axis in range(3) if self.flips[axis]]).contiguous()

    def undo(self, image: Tensor) -> Tensor:
        """What `apply` made of an image, turned back."""
        upright = image.flip([-1 - axis for axis in range(3) if self.flips[axis]])
        return upright.movedim((-1, -2, -3), [2 - axis - 3 for axis in self.order]).contiguous()

    def voxels(self, points: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
        """Points (..., 3) in voxels of an image of ``shape`` (nx, ny, nz), in voxels of the turned one."""
        turned = np.asarray(points, dtype=np.float64)[..., list(self.order)]
        last = np.array([shape[axis] - 1 for axis in self.order])
        return np.where(self.flips, last - turned, turned)


#: The mirror image along x, which in a fetus's own frame exchanges its sides.
MIRROR = AxisTurn(flips=(True, False, False))
