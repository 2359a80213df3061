"""What the tests of training share: one painted case, a small network, and markups written by hand."""

import json
from dataclasses import replace

import numpy as np
import torch
from volume_files import oblique_left_handed, write_nrrd

from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.network.unet import LandmarkNet
from FetalPoseLib.simulation.datasets import draw_subject
from FetalPoseLib.training.detector import Trainer
from FetalPoseLib.training.tasks import make_task
from FetalPoseLib.volume.grid import transform_points

SKELETON = load_skeleton()
LANDMARKS = draw_subject("fresh", 1).body.landmarks
LANDMARKS = LANDMARKS - (LANDMARKS.max(axis=0) + LANDMARKS.min(axis=0)) / 2
SIDE = 2 * (np.abs(LANDMARKS).max() + 6)  # mm, of a cube that holds them all


def paint(shape, affine) -> np.ndarray:
    """A picture (nz, ny, nx) uint8 in which each landmark is a blob of its own brightness, on a grey sector."""
    axes = [np.arange(n) for n in shape[::-1]]
    world = transform_points(affine, np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)).transpose(2, 1, 0, 3)
    picture = np.full(shape, 40.0)
    for i, point in enumerate(LANDMARKS):
        picture += (60 + 9 * i) * np.exp(-((world - point) ** 2).sum(axis=-1) / 8)
    return np.clip(picture, 1, 255).astype(np.uint8)


def cube(spacing: float) -> np.ndarray:
    matrix = np.diag([spacing, spacing, spacing, 1.0])
    matrix[:3, 3] = -SIDE / 2 + spacing / 2
    return matrix


#: The task 'detect' on a coarse grid of 32 voxels per side.
COARSE = replace(make_task("detect", 2.0), voxels_per_size=10.0, sigma=2.0, disturbance=(5.0, 0.02, 0.02))


def network(task=COARSE, width=4, recurrence=0) -> LandmarkNet:
    return LandmarkNet(out_channels=task.channels, width=width, levels=2, input_stride=2, recurrence=recurrence)


def trainer(pool, folder, recipe, *, kind=Trainer, task=COARSE, validation=(), net=None, width=4, **options) -> Trainer:
    torch.manual_seed(recipe.seed)
    return kind(net or network(task, width), task, recipe, pool, list(validation), folder, **options)


# --- folders of volumes


def lps_markups(path, points, *, names=SKELETON.landmarks, system="LPS"):
    """A markups file as another program may write it: no more than it must hold. NaN: not placed."""
    sign = [-1, -1, 1] if system == "LPS" else [1, 1, 1]
    placed = [bool(np.isfinite(point).all()) for point in points]
    control = [
        {"id": str(i), "label": name, "position": (point * sign).tolist() if there else [0, 0, 0],
         "positionStatus": "defined" if there else "undefined"}
        for i, (name, point, there) in enumerate(zip(names, points, placed, strict=True))
    ]  # fmt: skip
    schema = "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    text = {"@schema": f"{schema}markups-schema-v1.0.3.json#",
            "markups": [{"type": "Fiducial", "coordinateSystem": system, "controlPoints": control}]}  # fmt: skip
    path.write_text(json.dumps(text))
    return path


def lps_nrrd(path, matrix, shape):
    """The painted body in a NRRD file in LPS, with the IJK-to-RAS ``matrix``."""
    lps = np.diag([-1.0, -1, 1]) @ matrix[:3]
    directions = " ".join(f"({','.join(f'{v:.12g}' for v in column)})" for column in lps[:, :3].T)
    origin = ",".join(f"{v:.12g}" for v in lps[:, 3])
    sizes = " ".join(map(str, shape[::-1]))
    fields = ["dimension: 3", "space: left-posterior-superior", f"sizes: {sizes}", f"space directions: {directions}",
              "kinds: domain domain domain", f"space origin: ({origin})"]  # fmt: skip
    return write_nrrd(path, paint(shape, matrix), *fields)


def anisotropic_left_handed(shape):
    """IJK-to-RAS with oblique directions, three spacings and a mirrored axis, centred on the body."""
    matrix = oblique_left_handed() @ np.diag([1.6, 2.0, 1.2, 1.0])
    matrix[:3, 3] = -matrix[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    return matrix
