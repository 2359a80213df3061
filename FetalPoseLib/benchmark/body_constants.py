"""The constants of `body.parts`, `body.posture` and `body.crown_rump`, fitted on simulated bodies.

The bodies are drawn as those of the training splits are. An estimate's landmarks are not exact, so each body's
landmarks are moved at random by `parts.FIT_NOISE_MM` along each axis: a gain that is right for exact landmarks would
amplify their errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from FetalPoseLib.body.crown_rump import COVERAGE, crown_rump_features
from FetalPoseLib.body.parts import FIT_NOISE_MM, column_mm, loins, shortest_turn, thorax, unit, visible
from FetalPoseLib.body.plausibility import TRUNK_TO_CRL
from FetalPoseLib.body.posture import pelvis_features, spine_bend_deg
from FetalPoseLib.simulation.biometry import VERTEBRAE, draw_biometry
from FetalPoseLib.simulation.datasets import draw_scenario
from FetalPoseLib.simulation.kinematics import Body, pose_body
from FetalPoseLib.simulation.scenario import SMALLEST_CRL
from FetalPoseLib.simulation.true_posture import cranial_dorsal_hip_deg, crown_rump_mm

T12 = VERTEBRAE["lumbar"]  # index of the vertebra at the landmark *spine*
COPIES = 4  # of each body, each with its own errors of the landmarks


def training_bodies(count: int) -> list[Body]:
    """So many bodies as version 1 of the simulator draws them for training, and as many as version 2 does."""
    bodies = []
    for index in range(count):
        rng = np.random.default_rng([41, index])  # no split begins its seeds so: no subject of any split is among them
        bodies.append(pose_body(rng, draw_biometry(rng)))
        scenario = draw_scenario("fresh2", index)
        biometry = draw_biometry(rng, weeks=scenario.weeks)
        while biometry.crl < SMALLEST_CRL:
            biometry = draw_biometry(rng, weeks=scenario.weeks, size_z=2.0)
        bodies.append(pose_body(rng, replace(biometry, build=scenario.build), scenario.posture))
    return bodies


def fit(bodies: Sequence[Body]) -> dict[str, float]:
    """All fitted constants by their names."""
    rng, rows = np.random.default_rng(0), []
    for body in bodies:
        for _ in range(COPIES):
            noisy = body.landmarks + rng.normal(0, FIT_NOISE_MM, body.landmarks.shape)
            rows.append((body, visible(noisy)))
    return _head(rows) | _belly(rows) | _sizes(rows) | _cranial_dorsal_hip(rows) | _pelvis(rows) | _crown_rump(rows)


def _head(rows) -> dict[str, float]:
    frames = np.array([thorax(at) for _, at in rows])
    turns = np.array(
        [shortest_turn(unit(t.T @ (at["head"] - at["neck"]))) for t, (_, at) in zip(frames, rows, strict=True)]
    )
    cranial = np.array([body.head[:, 2] for body, _ in rows])

    def off(constants: np.ndarray) -> np.ndarray:
        nod, tilt, offset = constants
        heads = frames @ Rotation.from_rotvec(turns * [nod, tilt, 0] + [offset, 0, 0]).as_matrix()
        return (heads[:, :, 2] - cranial).ravel()

    nod, tilt, offset = least_squares(off, [1.0, 1.0, 0.0], loss="soft_l1", f_scale=0.1).x
    return {"HEAD_NOD_GAIN": nod, "HEAD_TILT_GAIN": tilt, "HEAD_NOD_DEG": np.degrees(offset)}


def _belly(rows) -> dict[str, float]:
    lower = np.array([loins(at) for _, at in rows])
    bend = Rotation.from_matrix([a.T @ thorax(at) for a, (_, at) in zip(lower, rows, strict=True)]).as_rotvec()
    truth = Rotation.from_matrix(
        [a.T @ body.vertebrae[7][1] for a, (body, _) in zip(lower, rows, strict=True)]
    ).as_rotvec()
    nod, offset = _line(bend[:, 0], truth[:, 0])
    tilt = bend[:, 1] @ truth[:, 1] / (bend[:, 1] @ bend[:, 1])
    return {"BELLY_NOD_GAIN": nod, "BELLY_TILT_GAIN": tilt, "BELLY_NOD_DEG": np.degrees(offset)}


def _sizes(rows) -> dict[str, float]:
    to_neck = np.array([np.linalg.norm(at["head"] - at["neck"]) for _, at in rows])
    ofd = np.array([body.biometry.ofd for body, _ in rows])
    half = np.array([0.5 * body.biometry.trunk_width for body, _ in rows])
    column = np.array([column_mm(at) for _, at in rows])
    return {"OFD_TO_HEAD_NECK": np.median(ofd / to_neck), "HALF_TRUNK_TO_COLUMN": np.median(half / column)}


def _cranial_dorsal_hip(rows) -> dict[str, float]:
    bend = np.array([spine_bend_deg(at) for _, at in rows])
    truth = np.array([cranial_dorsal_hip_deg(body) for body, _ in rows])
    slope, straight = _line(bend, truth)
    error = straight + slope * bend - truth
    return {"CDH_STRAIGHT_DEG": straight, "CDH_SLOPE": -slope, "CDH_SD_DEG": error.std()}


def _pelvis(rows) -> dict[str, float]:
    features = np.array([pelvis_features(at) for _, at in rows])
    truth = Rotation.from_matrix([loins(at).T @ body.pelvis for body, at in rows]).as_rotvec()[:, 0]
    bend, hips, offset = _least_squares(features, truth)
    return {"PELVIS_BEND_GAIN": bend, "PELVIS_HIPS_GAIN": hips, "PELVIS_NOD_DEG": np.degrees(offset)}


def _crown_rump(rows) -> dict[str, float]:
    features = np.array([crown_rump_features(at) for _, at in rows])
    truth = np.array([crown_rump_mm(body) for body, _ in rows])
    head_sacrum, head_neck, column, constant = found = _least_squares(features, truth)
    error = np.abs(features @ found[:3] + constant - truth) / truth
    trunk = np.abs(features[:, 2] / TRUNK_TO_CRL - truth) / truth
    return {
        "HEAD_SACRUM": head_sacrum, "HEAD_NECK": head_neck, "COLUMN": column, "CONSTANT_MM": constant,
        "POSE_ERROR": np.quantile(error, COVERAGE), "TRUNK_ERROR": np.quantile(trunk, COVERAGE),
    }  # fmt: skip


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    slope, constant = _least_squares(x[:, None], y)
    return slope, constant


def _least_squares(features: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The coefficients (K,) of features (N, K), then the constant."""
    return np.linalg.lstsq(np.column_stack([features, np.ones(len(y))]), y, rcond=None)[0]
