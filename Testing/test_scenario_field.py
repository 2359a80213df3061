"""Version 2 of the simulator: where the fetus lies and what of it is in the field."""

from collections import Counter

import numpy as np
import pytest
import torch
from scenario_subjects import COUNT, FLUID, body_of

from FetalPoseLib.simulation.anatomy import skin_shapes
from FetalPoseLib.simulation.contact import PLACES, Contact, Touch, touching, walls
from FetalPoseLib.simulation.datasets import (
    STANDARD_FRAME,
    STANDARD_RANGE,
    draw_scenario,
    draw_subject,
    simulate,
)
from FetalPoseLib.simulation.families import CUTS
from FetalPoseLib.simulation.field import in_sector
from FetalPoseLib.simulation.implicit import Canvas
from FetalPoseLib.simulation.scenario import ABSENT
from FetalPoseLib.simulation.uterus import cavity_field, sac_shape


@pytest.fixture(scope="module")
def subjects():
    return [draw_subject("fresh2", index) for index in range(COUNT)]


@pytest.fixture(scope="module")
def cases():
    return [simulate("fresh2", index, spacing=1.0) for index in range(8)]


def around(body, spacing):
    bounds = [shape.bounds() for shape in skin_shapes(body)]
    lower, upper = np.min([b[0] for b in bounds], axis=0) - 4, np.max([b[1] for b in bounds], axis=0) + 4
    return Canvas(lower, upper, spacing)


# where it lies


@pytest.mark.parametrize("place", PLACES)
def test_contact_touches_where_it_says(place):
    body = body_of()
    contact = Contact((Touch(place, (0, 0, 0), 0.4, 1.0),), room=3.0)
    sac = sac_shape(body, np.random.default_rng(1))
    canvas = around(body, 1.0)
    skin = canvas.distance_field(skin_shapes(body), fillet=0.05 * body.biometry.crl)
    assert touching(canvas, skin, cavity_field(canvas, body, sac, Contact(), np.random.default_rng(0))) == 0
    cavity = cavity_field(canvas, body, sac, contact, np.random.default_rng(0))
    assert 0.01 < touching(canvas, skin, cavity) < 0.6
    (wall,) = walls(body, contact)
    points = canvas.points()[(skin.abs() < 0.5) & (cavity > 0)].numpy()
    away = np.where(wall.distance(torch.as_tensor(points)).numpy() > -3, 0, 1)
    assert away.mean() < 0.01  # nothing else touches than what the wall reaches
    assert ((points - body.landmarks[[0, 2, 6, 7]].mean(axis=0)) @ wall.normal > 0).mean() > 0.8
    part, direction = PLACES[place]
    assert wall.normal @ (getattr(body, part) @ direction) > 0.9 * np.linalg.norm(direction)


def test_skin_in_contact_meets_tissue_in_what_is_scanned(subjects):
    """Along the wall's normal, out from the skin, comes tissue; on a floating body's every side comes fluid."""
    touched = [s for s in subjects if s.scenario.contact.touches and s.scenario.view.cut == "none"][:6]
    for subject in touched:
        wall = walls(subject.body, subject.scenario.contact)[0]
        ray = wall.point + np.linspace(1.5, 3.5, 5)[:, None] * wall.normal
        ray = ray[in_sector(subject.probe, ray)]
        impedance = subject.medium().surroundings.sample(torch.as_tensor(ray, dtype=torch.float32), edge=True)[3]
        assert len(ray) == 0 or (impedance - FLUID).abs().max() > 0.05, subject.name


def test_standard_presentation_turns_the_same_bodies(subjects):
    def shape(landmarks):
        return np.linalg.norm(landmarks[:, None] - landmarks, axis=2)

    angles = []
    for index in range(60):
        turned = draw_subject("fresh2-standard", index)
        assert shape(turned.body.landmarks) == pytest.approx(shape(subjects[index].body.landmarks), abs=1e-6)
        assert turned.scenario == subjects[index].scenario
        cosine = (np.trace(STANDARD_FRAME.T @ turned.body.pelvis) - 1) / 2
        angles.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
        assert turned.probe.pose[:3, :3] == pytest.approx(np.eye(3))
    assert max(angles) <= STANDARD_RANGE + 1e-6 and np.percentile(angles, 75) > 40
    any_way = [s.body.pelvis[:, 2] for s in subjects]
    assert np.linalg.norm(np.mean(any_way, axis=0)) < 0.2
    assert np.linalg.det(STANDARD_FRAME) == pytest.approx(1)


# what is seen


def test_not_visible_landmarks_are_those_outside_the_picture(cases):
    hidden = 0
    for case in cases:
        visible = np.isfinite(case.landmarks).all(axis=1)
        voxels = np.round(case.volume.grid.to_voxel(case.body)).astype(int)
        shape = np.array(case.volume.array.shape[::-1])
        for voxel, seen in zip(voxels, visible, strict=True):
            inside = ((voxel >= 0) & (voxel < shape)).all()
            grey = case.volume.array[tuple(voxel[::-1])] if inside else 0
            assert seen == (grey > 0) or _at_the_rim(case, voxel), (case.name, voxel, grey)
        hidden += (~visible).sum()
        assert case.body[visible] == pytest.approx(case.landmarks[visible])
    assert hidden > 3


def _at_the_rim(case, voxel):
    """Whether the field ends within a voxel or two, where its edge fades."""
    padded = np.pad(case.volume.array, 3)
    cube = padded[tuple(slice(max(v + 1, 0), v + 6) for v in voxel[::-1])]
    return cube.size == 0 or (cube == 0).any()


def test_cuts_leave_as_many_landmarks_as_they_say(subjects):
    right = []
    for subject in subjects:
        seen = int(np.isfinite(subject.landmarks).all(axis=1).sum())
        fewest, most = CUTS[subject.scenario.view.cut]
        right.append(fewest <= seen <= most)
    assert np.mean(right) > 0.9


def test_volumes_without_a_fetus_show_none():
    kinds = Counter()
    for index in range(40):
        subject = draw_subject("absent2", index)
        kinds[subject.scenario.kind] += 1
        visible = np.isfinite(subject.landmarks).all(axis=1)
        assert not visible[1:].any()
        assert not visible[0] or subject.scenario.kind == "head alone"
    assert set(kinds) == set(ABSENT)
    first = {kind: next(i for i in range(40) if draw_scenario("absent2", i).kind == kind) for kind in kinds}
    for kind, index in first.items():
        subject = draw_subject("absent2", index)
        assert len(subject.medium().fetuses) == (kind in ("late head", "head alone")), kind
    case = simulate("absent2", first["head alone"], spacing=1.0)
    assert case.volume.grid.spacing == pytest.approx(1.0)
    late = draw_subject("absent2", first["late head"]).biometry.bpd
    early = draw_subject("absent2", first["head alone"])
    assert late > 38 and 14 <= early.shrink * early.biometry.bpd <= 28


def test_a_second_fetus_lies_mostly_beyond_the_field(subjects):
    twins = [s for s in subjects if s.twin is not None]
    assert twins and len(twins) < 0.15 * COUNT
    for subject in twins:
        assert in_sector(subject.probe, subject.twin.landmarks).sum() < 8
        gap = np.linalg.norm(subject.twin.landmarks[:, None] - subject.body.landmarks, axis=2).min()
        assert gap > 0.15 * subject.biometry.crl
    assert len(twins[0].medium().fetuses) == 2
