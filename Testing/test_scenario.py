"""Version 2 of the simulator: what is drawn for a subject, and its body."""

from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scenario_subjects import COUNT, body_of

from FetalPoseLib.simulation.anatomy import head_shapes, skin_shapes
from FetalPoseLib.simulation.build import Build
from FetalPoseLib.simulation.collision import limb_radius
from FetalPoseLib.simulation.contact import PLACES
from FetalPoseLib.simulation.datasets import (
    draw_scenario,
    draw_subject,
    simulate,
)
from FetalPoseLib.simulation.families import CUTS, FAMILIES, FIELDS
from FetalPoseLib.simulation.posture import Posture
from FetalPoseLib.simulation.scenario import Factors
from FetalPoseLib.training.background import training_subjects, validation_subjects


@pytest.fixture(scope="module")
def subjects():
    return [draw_subject("fresh2", index) for index in range(COUNT)]


# the scenario


def test_every_factor_is_drawn_and_the_scenario_alone_is_the_subjects(subjects):
    drawn = [subject.scenario.factors for subject in subjects]
    for name, values in {
        "family": FAMILIES, "contact": ("floating", *PLACES), "build": ("usual", "random"),
        "haze": ("clear", "light", "heavy"), "cut": CUTS, "spine": ("habit", "curled", "extended"),
    }.items():  # fmt: skip
        assert {getattr(f, name) for f in drawn} == set(values), name
    assert all(draw_scenario("fresh2", index) == subject.scenario for index, subject in enumerate(subjects))
    assert 0.15 < np.mean([f.contact == "floating" for f in drawn]) < 0.35


def test_a_training_leaves_a_factor_out():
    for wanted in ({"family": "endocavitary"}, {"contact": "touching"}, {"haze": "heavy", "cut": "limbs"}):
        left = training_subjects(48, without=wanted)
        assert len(set(left)) == 48
        assert not any(draw_scenario(*subject).factors.match(**wanted) for subject in left)
        assert any(draw_scenario("train2", index).factors.match(**wanted) for index in range(48))
        assert all(draw_scenario(*subject).factors.match(**wanted) for subject in validation_subjects(factors=wanted))
    whole = training_subjects(48)
    assert Counter(split for split, _ in whole) == {"train2": 44, "fresh-absent2": 4}
    assert training_subjects(200)[-2][0] == "fresh2"


def test_factors_match_all_that_is_asked():
    factors = Factors("fetus", "convex", "back", "usual", "heavy", "none", "curled")
    assert factors.match() and factors.match(contact="touching") and factors.match(family="convex", haze="heavy")
    assert not factors.match(family="convex", haze="light")
    assert not replace(factors, contact="floating").match(contact="touching")


def test_fields_and_voxels_have_the_sizes_of_real_ones(subjects):
    boxes = np.array([np.subtract(*subject.probe.bounds()[::-1]) for subject in subjects])
    assert 44 < boxes.min() and boxes.max() <= FIELDS[1] + 1e-6
    assert np.percentile(boxes.max(axis=1), 15) < 70 and np.percentile(boxes.max(axis=1), 85) > 105
    voxels = np.array([subject.scenario.view.voxel for subject in subjects])
    assert voxels.min() >= 0.19 and voxels.max() <= 1.0 and 0.1 < np.mean(np.ptp(voxels, axis=1) > 0) < 0.5
    case = simulate("fresh2", next(i for i, v in enumerate(voxels) if np.ptp(v) > 0 and v.min() > 0.4), spacing=None)
    assert case.volume.grid.spacing == pytest.approx(case.scenario.view.voxel)


# body


def test_no_hand_or_foot_enters_the_head(subjects):
    for subject in subjects:
        assert not _enters_head(subject.body), subject.name


def test_a_hand_in_the_head_would_be_noticed():
    body = body_of()
    hand = body.bones["left_hand"]
    moved = replace(hand, start=body.landmarks[0], end=body.landmarks[0] + hand.end - hand.start)
    assert _enters_head(replace(body, bones={**body.bones, "left_hand": moved}))


def _enters_head(body):
    for name, bone in body.bones.items():
        if name.endswith(("hand", "foot")):
            points = bone.start + np.linspace(0, 1.05, 12)[:, None] * (bone.end - bone.start)
            for shape in head_shapes(body)[:2]:
                if (shape.distance(torch.as_tensor(points, dtype=torch.float32)) < 0).any():
                    return True
    return False


def test_postures_do_what_they_are_called():
    def drawn(measure, **posture):
        bodies = [body_of(seed, posture=Posture(free_limb=0, exact_head=True, **posture)) for seed in range(12)]
        return np.mean([measure(body) / body.biometry.crl for body in bodies])

    def curl(body):  # crown to rump, straight
        return np.linalg.norm(body.landmarks[0] - body.landmarks[7])

    def hand_to_face(body):
        face = head_shapes(body)[1].centre
        return min(np.linalg.norm(body.bones[f"{side}_hand"].end - face) for side in ("left", "right"))

    def feet_to_sacrum(body):
        return np.mean([np.linalg.norm(body.landmarks[k] - body.landmarks[7]) for k in (12, 15)])

    def feet_aside(body):  # how far each foot lies on its own side
        right = body.pelvis[:, 0]
        return np.mean(
            [(body.landmarks[12] - body.landmarks[7]) @ right, (body.landmarks[7] - body.landmarks[15]) @ right]
        )

    assert drawn(curl, spine="curled") < drawn(curl) - 0.04 < drawn(curl, spine="extended") - 0.05
    assert drawn(hand_to_face, right_arm="face", left_arm="face") < 0.7 * drawn(hand_to_face)
    assert drawn(feet_to_sacrum, right_leg="buttocks", left_leg="buttocks") < 0.85 * drawn(feet_to_sacrum)
    assert drawn(feet_aside, right_leg="crossed", left_leg="crossed") < 0.6 * drawn(feet_aside)


def test_sides_differ_a_little_in_length(subjects):
    def lengths(body, side):
        parts = ("upper_arm", "forearm", "thigh", "shank")
        return [
            np.linalg.norm(np.subtract(*(getattr(body.bones[f"{side}_{p}"], e) for e in ("start", "end"))))
            for p in parts
        ]

    ratios = np.array([np.divide(lengths(s.body, "left"), lengths(s.body, "right")) for s in subjects])
    assert 0.015 < np.log(ratios).std() < 0.045 and abs(np.log(ratios)).max() < 0.13
    assert abs(np.log(ratios).mean()) < 0.01


def test_bodies_are_as_small_as_25_mm(subjects):
    lengths = np.array([subject.biometry.crl for subject in subjects])
    assert lengths.min() >= 25 and (lengths < 32).mean() > 0.05 and (lengths > 70).mean() > 0.1


def test_a_build_shapes_the_body():
    usual = body_of()
    for field in fields(Build):
        built = body_of(build=Build(**{field.name: 1.3}))
        changed = max(
            np.abs(np.subtract(a.bounds(), b.bounds())).max()
            for a, b in zip(skin_shapes(usual), skin_shapes(built), strict=True)
        )
        assert changed > 0.2, field.name
    thick = replace(usual.biometry, build=Build(limb_thickness=1.5))
    assert limb_radius(thick, "shank") == pytest.approx(1.5 * limb_radius(usual.biometry, "shank"))
