"""The bundled landmark set agrees with the design, and a wrong file says what is wrong in it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.resources import resource_path


def written(tmp_path, change):
    data = json.loads(resource_path("skeleton.json").read_text(encoding="utf-8"))
    change(data)
    path = tmp_path / "skeleton.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_the_numbering_of_the_design():
    skeleton = load_skeleton()
    assert len(skeleton) == 16 and len(skeleton.descriptions) == 16
    links = [(s.start + 1, s.end + 1) for s in skeleton.segments]
    assert links == [(1, 3), (3, 2), (3, 4), (4, 5), (5, 6), (2, 9), (9, 10), (3, 7), (7, 8), (8, 11), (8, 14),
                     (11, 12), (12, 13), (14, 15), (15, 16)]  # fmt: skip
    assert [i + 1 for i in skeleton.registration_subset] == [1, 2, 3, 4, 5, 7, 8, 9, 11, 14]
    numbers = {"head": 1, "right_shoulder": 2, "neck": 3, "left_shoulder": 4, "left_elbow": 5, "left_wrist": 6,
               "spine": 7, "sacrum": 8, "right_elbow": 9, "right_wrist": 10, "right_hip": 11, "right_knee": 12,
               "right_ankle": 13, "left_hip": 14, "left_knee": 15, "left_ankle": 16}  # fmt: skip
    assert {name: skeleton.index(name) + 1 for name in skeleton.landmarks} == numbers


def test_segments_bear_the_names_of_what_they_join():
    skeleton = load_skeleton()
    for segment in skeleton.segments:
        ends = skeleton.landmarks[segment.start], skeleton.landmarks[segment.end]
        sides = {side for side in ("left", "right") for end in ends if end.startswith(side)}
        assert sides == {side for side in ("left", "right") if segment.name.startswith(side)}
    joined = {segment.end for segment in skeleton.segments} | {skeleton.index("head")}
    assert joined == set(range(16))  # a tree: every landmark but the head is the end of exactly one segment


def test_mirror_exchanges_left_and_right_and_nothing_else():
    skeleton = load_skeleton()
    for name, mirrored in zip(skeleton.landmarks, skeleton.mirror, strict=True):
        side, _, joint = name.partition("_")
        other = {"left": "right_", "right": "left_"}.get(side)
        assert skeleton.landmarks[mirrored] == (other + joint if other else name)
    assert (skeleton.mirror[skeleton.mirror] == np.arange(16)).all()
    with pytest.raises(ValueError):
        skeleton.mirror[0] = 1


def test_limbs_and_their_partners():
    skeleton = load_skeleton()
    assert skeleton.limbs["left_arm"] == (3, 4, 5) and skeleton.limbs["right_leg"] == (10, 11, 12)
    assert skeleton.partner("left_arm") == "right_arm" and skeleton.partner("right_leg") == "left_leg"


def test_levels_are_the_tree_from_the_neck_to_the_ends_of_the_limbs():
    skeleton = load_skeleton()
    levels = [[skeleton.landmarks[landmark] for landmark, _ in level] for level in skeleton.levels()]
    assert levels[0] == ["neck"], "where most segments meet"
    assert set(levels[-1]) == {"left_ankle", "right_ankle"} and len(levels) == 6
    assert sorted(sum(levels, [])) == sorted(skeleton.landmarks)
    edges = {frozenset(edge) for level in skeleton.levels()[1:] for edge in level}
    assert edges == {frozenset((segment.start, segment.end)) for segment in skeleton.segments}
    for above, level in zip(skeleton.levels()[:-1], skeleton.levels()[1:], strict=True):
        assert {parent for _, parent in level} <= {landmark for landmark, _ in above}


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["segments"].pop(),  # an ankle is left out
        lambda d: d["segments"].append({**d["segments"][0], "from": "head", "to": "spine"}),  # two ways to the spine
        lambda d: d["segments"][-1].update({"from": "neck", "to": "sacrum"}),  # both at once
    ],
)
def test_levels_need_a_tree(tmp_path, change):
    skeleton = load_skeleton(written(tmp_path, change))
    with pytest.raises(ValueError, match=f"the {len(skeleton.segments)} segments .* join no tree of 16"):
        skeleton.levels()


def test_levels_of_another_tree(tmp_path):
    skeleton = load_skeleton(written(tmp_path, lambda d: d["segments"][5].update({"from": "neck"})))
    assert (skeleton.index("right_elbow"), skeleton.index("neck")) in skeleton.levels()[1]


def test_left_and_right_colours_differ_for_the_colour_blind():
    skeleton = load_skeleton()
    for segment in skeleton.segments:
        red, _, blue = segment.color
        if segment.name.startswith("left"):
            assert blue > red  # blues and teals against oranges and reds: apart along the axis that all can see
        elif segment.name.startswith("right"):
            assert red > blue
    assert len({segment.color for segment in skeleton.segments}) == 15


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["segments"][0].update({"to": 17}), "17"),
        (lambda d: d["segments"][0].update({"to": "nose"}), "nose"),
        (lambda d: d["segments"][4].update({"color": [0, 0, 255]}), "left_forearm"),
        (lambda d: d["landmarks"][3].update({"name": "neck"}), "'neck' is listed twice"),
        (lambda d: d["symmetric_pairs"].append([2, 5]), "two symmetric pairs"),
        (lambda d: d["limbs"].pop("left_leg"), "right_leg"),
        (lambda d: d.update(registration_subset=[1, 2]), "3 landmarks"),
        (lambda d: d.update(registration_subset=[1, 2, 2]), "different"),
        (lambda d: d.pop("limbs"), "limbs"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path, change, message):
    with pytest.raises(FetalPoseError, match=message):
        load_skeleton(written(tmp_path, change))


def test_landmarks_may_be_given_by_name(tmp_path):
    path = written(tmp_path, lambda d: d["segments"][0].update({"from": "head", "to": "neck"}))
    assert load_skeleton(path).segments[0].end == 2


def test_missing_or_broken_file(tmp_path):
    with pytest.raises(FetalPoseError, match="Cannot read"):
        load_skeleton(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    with pytest.raises(FetalPoseError, match="not valid JSON"):
        load_skeleton(tmp_path / "broken.json")
    with pytest.raises(FetalPoseError, match="nothing.bin"):
        resource_path("nothing.bin")


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, FetalPoseLib; print(sorted({'numpy', 'torch', 'scipy', 'slicer', 'vtk'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
