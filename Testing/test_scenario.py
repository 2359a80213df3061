"""Version 2 of the simulator: what is drawn for a subject, and that body, mother and picture follow it."""

from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from FetalPoseLib.simulation.anatomy import head_shapes, skin_shapes
from FetalPoseLib.simulation.biometry import draw_biometry
from FetalPoseLib.simulation.build import Build
from FetalPoseLib.simulation.clutter import Clutter, band_profile, displacement, lose_frames
from FetalPoseLib.simulation.collision import limb_radius
from FetalPoseLib.simulation.contact import PLACES, Contact, Touch, touching, walls
from FetalPoseLib.simulation.datasets import (
    SPLITS,
    STANDARD_FRAME,
    STANDARD_RANGE,
    draw_scenario,
    draw_subject,
    simulate,
)
from FetalPoseLib.simulation.families import CUTS, FAMILIES, FIELDS
from FetalPoseLib.simulation.field import in_sector
from FetalPoseLib.simulation.implicit import Canvas
from FetalPoseLib.simulation.kinematics import pose_body
from FetalPoseLib.simulation.looks import Looks
from FetalPoseLib.simulation.medium import build_medium
from FetalPoseLib.simulation.posture import Posture
from FetalPoseLib.simulation.scenario import ABSENT, Factors, Scenario
from FetalPoseLib.simulation.statistics import measure
from FetalPoseLib.simulation.ultrasound import acquire
from FetalPoseLib.simulation.uterus import cavity_field, sac_shape
from FetalPoseLib.training.background import training_subjects, validation_subjects

COUNT = 160
FLUID, BONY = 1.52, 2.2  # MRayl


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def subjects():
    return [draw_subject("fresh2", index) for index in range(COUNT)]


@pytest.fixture(scope="module")
def cases():
    return [simulate("fresh2", index, spacing=1.0) for index in range(8)]


def body_of(seed=3, weeks=12.0, posture=None, build=None):
    rng = np.random.default_rng(seed)
    biometry = replace(draw_biometry(rng, weeks=weeks, size_z=0.0), build=build or Build())
    return pose_body(rng, biometry, posture or Posture())


def around(body, spacing):
    bounds = [shape.bounds() for shape in skin_shapes(body)]
    lower, upper = np.min([b[0] for b in bounds], axis=0) - 4, np.max([b[1] for b in bounds], axis=0) + 4
    return Canvas(lower, upper, spacing)


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


# how it looks


def test_bones_ossify_and_vaults_have_gaps():
    subject = draw_subject("validation", 0)
    body, vault = subject.body, head_shapes(subject.body)[0]

    def bony(**looks):
        scenario = Scenario(looks=Looks(**looks))
        medium = build_medium(body, subject.sac, subject.probe, np.random.default_rng(2), scenario)
        rays = np.random.default_rng(0).normal(size=(400, 3))
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        rays = rays[rays[:, 2] > 0]
        surface = np.linspace(0.7, 1.05, 30)[:, None, None] * (rays * vault.radii) @ vault.rotation.T + vault.centre
        impedance = medium.sample(torch.as_tensor(surface, dtype=torch.float32))[2]
        shaft = body.bones["left_thigh"]
        middle = 0.5 * (shaft.start + shaft.end) + np.linspace(-1.5, 1.5, 25)[:, None] * shaft.rotation[:, 0]
        femur = medium.sample(torch.as_tensor(middle, dtype=torch.float32))[2].max()
        return float((impedance.amax(dim=0) > 1.9).float().mean()), float(femur)

    whole, femur = bony()
    assert whole > 0.85 and femur > BONY
    assert 0.3 < bony(vault_gaps=0.5)[0] / whole < 0.8
    assert bony(vault=0.0)[0] < 0.2 and bony(ossification=0.1)[1] < 1.95


def test_synthetic_tissues_do_not_follow_the_table():
    def levels(**looks):
        drawn = [Looks(**looks).tissues(np.random.default_rng(seed)) for seed in range(60)]
        return 20 * np.log10([[t["placenta"][0], t["soft"][0], t["bone"][0]] for t in drawn])

    usual, wild = levels(), levels(synthetic=True)
    assert (usual[:, 2] > usual[:, 1]).all() and usual.std(axis=0).max() < 3
    assert 0.2 < (wild[:, 2] > wild[:, 1]).mean() < 0.8 and wild.std(axis=0).min() > 6


def test_haze_fills_the_fluid():
    subject = draw_subject("validation", 1)
    medium = subject.medium()
    greys = []
    for haze in (-200.0, -25.0, -10.0):
        settings = replace(subject.settings, clutter=Clutter(haze=haze, haze_follows=0.3))
        volume = acquire(medium, subject.probe, settings, spacing=1.25, seed=1)
        z, y, x = np.nonzero(volume.array)
        world = volume.grid.to_world(np.stack([x, y, z], axis=1))
        fluid = (medium.sample(torch.as_tensor(world, dtype=torch.float32))[2] - FLUID).abs() < 0.003
        greys.append(np.median(volume.array[z, y, x][fluid.numpy()]))
    assert greys[0] < 25 and greys[0] + 10 < greys[1] < greys[2] - 25 and greys[2] > 60


def test_bands_lie_at_multiples_of_their_distance():
    depths = torch.arange(10.0, 60.0, 0.1)
    profile = band_profile(depths, Clutter(bands=3, band_level=-6.0, band_spacing=7.0))
    peaks = depths[1:-1][(profile[1:-1] > profile[:-2]) & (profile[1:-1] > profile[2:])]
    assert peaks.tolist() == pytest.approx([17, 24, 31], abs=0.15)
    assert profile.max() == pytest.approx(10 ** (-6 / 20), rel=0.01)


def test_motion_and_lost_frames():
    generator = torch.Generator().manual_seed(1)
    path = displacement(60, Clutter(motion=0.4), generator)
    assert path.mean(dim=0).abs().max() < 1e-5 and 0.1 < path.std() < 0.6
    assert path.diff(dim=0).norm(dim=1).max() < 0.4  # smooth
    envelope = torch.arange(40.0).expand(3, 40)[:, :, None].expand(3, 40, 2)
    shown = lose_frames(envelope, Clutter(missing=0.3), generator)[0, :, 0]
    lost = shown != torch.arange(40.0)
    assert 3 < lost.sum() < 22 and (shown <= torch.arange(40.0)).all() and shown[0] == 0
    assert (shown.diff() >= 0).all()


def test_compounding_and_reduction_smooth_speckle():
    subject = draw_subject("validation", 2)
    medium = subject.medium()

    def contrast(**change):
        settings = replace(subject.settings, smoothing=0.0, **change)
        return measure(acquire(medium, subject.probe, settings, spacing=0.5, seed=3).array, 0.5).contrast

    plain = contrast()
    assert contrast(looks=3) < 0.85 * plain and contrast(reduction=1.0, reduction_width=0.8) < 0.8 * plain


def test_statistics_measure_what_they_say():
    noise = np.random.default_rng(1).normal(size=(60, 60, 60))
    speckle = gaussian_filter(noise, (0.8, 1.6, 1.6))
    found = measure(100 + 20 * speckle / speckle.std(), 0.5)
    assert found.contrast == pytest.approx(0.2, abs=0.04)
    # the autocovariance of noise blurred by sigma falls to a half at 2 sigma sqrt(ln 2)
    assert found.half_widths == pytest.approx(2 * np.log(2) ** 0.5 * 0.5 * np.array([1.6, 1.6, 0.8]), rel=0.2)
    assert found.percentiles[2] == pytest.approx(100, abs=3)


@pytest.mark.slow
def test_simulated_statistics_cover_the_real_ones():
    """Real: local contrast 0.26 to 0.34 and, by this very measure, half-widths of 1.95, 1.96 and 0.76 to 1.0 mm; grey
    medians of 95 to 136 and lower quartiles of 17 to 88."""
    found = [measure(simulate("fresh2", index, spacing=0.5).volume.array, 0.5) for index in range(40)]
    contrast = np.array([f.contrast for f in found])
    assert np.nanmin(contrast) < 0.1 and np.nanpercentile(contrast, 92) > 0.26
    widths = np.array([f.half_widths for f in found])
    for axis, (low, high) in enumerate(((1.2, 1.6), (1.2, 1.8), (0.5, 0.95))):
        assert np.nanpercentile(widths[:, axis], 10) < low and np.nanpercentile(widths[:, axis], 92) > high
    greys = np.array([f.percentiles for f in found])
    assert np.percentile(greys[:, 2], 10) < 95 and np.percentile(greys[:, 2], 90) > 136
    assert np.percentile(greys[:, 1], 10) < 20 and np.percentile(greys[:, 1], 90) > 88


def test_splits_of_version_2_share_no_subject():
    words = [split.word for name, split in SPLITS.items() if not name.endswith("-standard")]
    assert len(set(words)) == len(words)
    assert {name for name, split in SPLITS.items() if split.absent} == {"absent2", "fresh-absent2"}
    with pytest.raises(ValueError, match="has subjects 0 to 51"):
        draw_subject("test2", 52)
