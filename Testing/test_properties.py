"""Properties that hold for all grids, axis turns and skeleton files, on examples that hypothesis makes."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from FetalPoseLib.body.skeleton import Skeleton, load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.volume.axis_turns import AxisTurn
from FetalPoseLib.volume.grid import Grid, Volume, canonical_grid, transform_points

settings.register_profile("fetalpose", deadline=None, max_examples=60)  # no deadline: a test measures no time
settings.load_profile("fetalpose")

BUNDLED = json.loads((Path(__file__).resolve().parent.parent / "Resources" / "skeleton.json").read_text("utf-8"))

sizes = st.tuples(*[st.integers(2, 40)] * 3)
spacings = st.tuples(*[st.floats(0.05, 5)] * 3)
offsets = st.tuples(*[st.floats(-500, 500)] * 3)
angles = st.tuples(*[st.floats(-180, 180)] * 3)
turns = st.builds(AxisTurn, st.permutations(range(3)).map(tuple), st.tuples(*[st.booleans()] * 3))
points = st.lists(st.tuples(*[st.floats(-300, 300)] * 3), min_size=1, max_size=16).map(np.array)


@st.composite
def affines(draw) -> np.ndarray:
    """Voxel to RAS mm: any direction, spacing, place and handedness."""
    affine = np.eye(4)
    directions = Rotation.from_euler("xyz", draw(angles), degrees=True).as_matrix()
    directions = directions * np.where(draw(st.tuples(*[st.booleans()] * 3)), -1, 1)
    affine[:3, :3] = directions * np.array(draw(spacings))
    affine[:3, 3] = draw(offsets)
    return affine


grids = st.builds(Grid, sizes, affines())


def turned_volume(volume: Volume, turn: AxisTurn) -> Volume:
    """The same anatomy at the same place, saved with its axes in another order and direction."""
    corner = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float)
    moved = turn.voxels(corner, volume.grid.shape)
    to_turned = np.eye(4)
    to_turned[:3, :3], to_turned[:3, 3] = (moved[1:] - moved[0]).T, moved[0]
    array = turn.apply(torch.from_numpy(volume.array)).numpy()
    return Volume(array, volume.ijk_to_ras @ np.linalg.inv(to_turned))


# --- grids


@given(affines(), points)
def test_points_come_back_through_the_inverse(affine, points):
    np.testing.assert_allclose(
        transform_points(np.linalg.inv(affine), transform_points(affine, points)), points, atol=1e-6
    )


@given(grids, points)
def test_voxels_to_the_world_and_back(grid, points):
    np.testing.assert_allclose(grid.to_voxel(grid.to_world(points)), points, atol=1e-6)
    np.testing.assert_allclose(
        grid.spacing, np.linalg.norm(grid.to_world(np.eye(3)) - grid.to_world(np.zeros(3)), axis=1)
    )


@given(affines(), points, st.data())
def test_a_landmark_without_a_position_stays_without_and_changes_no_other(affine, points, data):
    row = data.draw(st.integers(0, len(points) - 1))
    missing = points.copy()
    missing[row] = np.nan
    moved = transform_points(affine, missing)
    assert np.isnan(moved[row]).all()
    np.testing.assert_array_equal(np.delete(moved, row, 0), np.delete(transform_points(affine, points), row, 0))


@given(sizes, affines(), turns, st.floats(0.5, 5))
def test_the_canonical_grid_is_that_of_the_place_whatever_the_axes(shape, affine, turn, spacing):
    volume = Volume(np.zeros(shape[::-1], dtype=np.uint8), affine)
    grid, other = canonical_grid(volume, spacing), canonical_grid(turned_volume(volume, turn), spacing)
    assert other.shape == grid.shape
    np.testing.assert_allclose(other.affine, grid.affine, atol=1e-6)


@given(sizes, affines(), st.floats(0.5, 5))
def test_the_canonical_grid_is_isotropic_right_handed_and_covers_the_volume(shape, affine, spacing):
    volume = Volume(np.zeros(shape[::-1], dtype=np.uint8), affine)
    grid = canonical_grid(volume, spacing)
    np.testing.assert_allclose(grid.affine[:3, :3], np.eye(3) * spacing)
    inside, outside = volume.grid.corners(), grid.corners()
    extent = np.ptp(inside, axis=0)
    assert (outside.min(axis=0) <= inside.min(axis=0) + 1e-5 * spacing).all()
    assert (outside.max(axis=0) >= inside.max(axis=0) - 1e-5 * spacing).all()
    assert (np.ptp(outside, axis=0) < np.maximum(extent, spacing) + spacing * (1 + 1e-5)).all(), "no voxel too many"


@given(grids, st.integers(1, 6))
def test_a_coarse_voxel_covers_its_fine_ones(grid, stride):
    coarse = grid.coarsened(stride)
    assert coarse.shape == tuple(int(np.ceil(n / stride)) for n in grid.shape)
    np.testing.assert_allclose(coarse.spacing, stride * grid.spacing)
    first = np.mean([grid.to_world([i, i, i]) for i in range(stride)], axis=0)  # of the fine ones in coarse voxel 0
    np.testing.assert_allclose(coarse.to_world([0, 0, 0]), first, atol=1e-6)
    np.testing.assert_allclose(coarse.corners()[0], grid.corners()[0], atol=1e-6)


@given(grids, st.integers(1, 4), st.integers(1, 4))
def test_coarsened_twice_is_coarsened_by_the_product(grid, first, second):
    twice, once = grid.coarsened(first).coarsened(second), grid.coarsened(first * second)
    assert twice.shape == once.shape
    np.testing.assert_allclose(twice.affine, once.affine, atol=1e-6)


# --- axis turns


@given(turns, sizes, st.sampled_from([(), (2,)]))
def test_a_turned_image_is_turned_back(turn, shape, leading):
    image = torch.arange(int(np.prod([*leading, *shape]))).reshape(*leading, *shape[::-1])
    assert torch.equal(turn.undo(turn.apply(image)), image)


@given(turns, sizes, st.data())
def test_a_voxel_moves_with_the_image(turn, shape, data):
    voxel = np.array([data.draw(st.integers(0, n - 1)) for n in shape])
    image = torch.zeros(shape[::-1])
    image[tuple(voxel[::-1])] = 1
    turned = turn.apply(image)
    assert turned.sum() == 1
    assert turned[tuple(turn.voxels(voxel, shape).astype(int)[::-1])] == 1


@given(turns)
def test_a_turn_mirrors_where_its_matrix_does(turn):
    shape = (5, 6, 7)
    moved = turn.voxels(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float), shape)
    assert turn.mirrors == (np.linalg.det(moved[1:] - moved[0]) < 0)


# --- skeleton files

values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 30) | st.floats() | st.text(max_size=5) | st.just("head"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def damaged(draw):
    """The bundled skeleton with an entry somewhere left out, replaced, repeated or exchanged for another."""
    data = copy.deepcopy(BUNDLED)
    for _ in range(draw(st.integers(1, 3))):
        place, parent, key = data, None, None
        while isinstance(place, dict | list) and place and (parent is None or draw(st.booleans())):
            keys = sorted(place) if isinstance(place, dict) else range(len(place))
            parent, key = place, draw(st.sampled_from(keys))
            place = parent[key]
        if parent is None:
            continue
        what = draw(st.sampled_from(["leave out", "replace", "repeat"]))
        if what == "leave out":
            del parent[key]
        elif what == "repeat" and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[key]))
        else:
            parent[key] = draw(values)
    return data


def skeleton_or_message(path: Path) -> Skeleton | str:
    try:
        return load_skeleton(path)
    except FetalPoseError as error:
        return str(error)
    finally:
        load_skeleton.cache_clear()


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("skeleton") / "skeleton.json"


@settings(max_examples=300)
@given(data=damaged())
def test_a_damaged_skeleton_is_refused_in_words_or_usable(file, data):
    file.write_text(json.dumps(data), encoding="utf-8")
    outcome = skeleton_or_message(file)
    if isinstance(outcome, str):
        assert str(file) in outcome
        return
    everything = range(len(outcome))
    assert sorted(outcome.mirror) == list(everything)
    assert all(outcome.partner(outcome.partner(limb)) == limb for limb in outcome.limbs)
    assert {end for segment in outcome.segments for end in (segment.start, segment.end)} <= set(everything)
    assert all(len(segment.color) == 3 for segment in outcome.segments)


@given(data=values)
def test_any_other_json_is_refused_in_words(file, data):
    file.write_text(json.dumps(data), encoding="utf-8")
    assert isinstance(skeleton_or_message(file), str)


@given(content=st.binary(max_size=60))
def test_any_other_bytes_are_refused_in_words(file, content):
    file.write_bytes(content)
    assert isinstance(skeleton_or_message(file), str)
