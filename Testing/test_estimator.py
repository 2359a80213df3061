"""The bundled model, end to end: same anatomy, same points, however the volume was saved; how it is refined; and what
it does without a fetus."""

import copy
from dataclasses import replace
from itertools import permutations, product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.detection.detector import Detector
from FetalPoseLib.detection.search import SearchOptions
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.estimator import Estimator
from FetalPoseLib.network.heatmaps import render
from FetalPoseLib.network.task_spec import TaskSpec
from FetalPoseLib.refinement.options import REFINEMENTS, ConsensusOptions, EstimateOptions, OnlineSslOptions
from FetalPoseLib.resources import resource_path
from FetalPoseLib.simulation.datasets import simulate
from FetalPoseLib.volume.grid import Grid, Volume, canonical_grid
from FetalPoseLib.volume.resampling import resample

ORDERS = list(product(permutations(range(3)), product((1, -1), repeat=3)))


@pytest.fixture(scope="module")
def case():
    """A subject that no training saw, at the model's own spacing."""
    return simulate("validation", 3, spacing=1.0)


@pytest.fixture(scope="module")
def estimator():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Estimator(device="cpu")
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def detected(estimator, case):
    return estimator.estimate(case.volume, iterations=0)


def reordered(volume: Volume, order, flips) -> Volume:
    """The same anatomy with the array's axes permuted and flipped, and the matrix to match."""
    matrix = volume.ijk_to_ras[:, [*order, 3]].copy()
    array = volume.array.transpose([2 - order[2 - axis] for axis in range(3)])
    for axis, flip in enumerate(flips):
        if flip < 0:
            array = np.flip(array, 2 - axis)
            matrix[:3, 3] += matrix[:3, axis] * (array.shape[2 - axis] - 1)
            matrix[:3, axis] *= -1
    return Volume(np.ascontiguousarray(array), matrix)


def moved(volume: Volume, rotation: np.ndarray) -> Volume:
    """The same array in a world turned by ``rotation``: the body is turned with it."""
    turn = np.eye(4)
    turn[:3, :3] = rotation
    return Volume(volume.array, turn @ volume.ijk_to_ras)


def distance(a, b) -> np.ndarray:
    return np.linalg.norm(a - b, axis=1)


def test_a_volume_never_seen_is_measured(case, detected):
    errors = distance(detected.points, case.landmarks)
    assert np.nanmean(errors) < 5 and np.isfinite(detected.points).sum() >= 14
    assert not detected.warnings


@pytest.mark.parametrize("order, flips", [o for i, o in enumerate(ORDERS) if i in (3, 13, 30, 44)])
def test_axis_order_and_handedness_do_not_matter(estimator, case, detected, order, flips):
    found = estimator.estimate(reordered(case.volume, order, flips), iterations=0)
    np.testing.assert_allclose(found.points, detected.points, atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("order, flips", ORDERS)
def test_all_48_axis_orders_give_the_same_points(estimator, case, detected, order, flips):
    found = estimator.estimate(reordered(case.volume, order, flips), iterations=0)
    np.testing.assert_allclose(found.points, detected.points, atol=0.05)


def test_oblique_direction_cosines_do_not_matter(estimator, case, detected):
    """The same anatomy sampled along axes that are oblique to the world's."""
    volume = case.volume
    centre = volume.grid.corners().mean(axis=0)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [12, -20, 8], degrees=True).as_matrix()
    shape = np.array(volume.array.shape[::-1]) + 30
    affine[:3, 3] = centre - affine[:3, :3] @ ((shape - 1) / 2)
    grid = Grid(tuple(shape), affine)
    oblique = Volume(resample(volume, grid).numpy(), affine)
    found = estimator.estimate(oblique, iterations=0)
    assert np.nanmedian(distance(found.points, detected.points)) < 1.0


@pytest.mark.parametrize("angles", [(35, 10, -20), (180, 0, 70)])
def test_a_turned_body_gives_turned_points(estimator, case, detected, angles):
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    found = estimator.estimate(moved(case.volume, rotation), iterations=0)
    assert np.nanmedian(distance(found.points, detected.points @ rotation.T)) < 1.5


@pytest.mark.parametrize("iterations", [0, 2])
def test_a_mirrored_array_with_its_matrix_keeps_sides_but_without_it_swaps_them(estimator, case, detected, iterations):
    """The trap itself: were the matrix ignored, left and right would change places."""
    mirrored = Volume(case.volume.array[:, :, ::-1].copy(), case.volume.ijk_to_ras)
    found = estimator.estimate(mirrored, iterations=iterations)
    mirror = estimator.library.skeleton.mirror
    width = case.volume.array.shape[2] - 1
    voxels = case.volume.grid.to_voxel(found.points)
    voxels[:, 0] = width - voxels[:, 0]
    back = case.volume.grid.to_world(voxels)
    assert np.nanmedian(distance(back[mirror], detected.points)) < 1.5
    assert np.nanmedian(distance(back, detected.points)) > 2.0


@pytest.mark.parametrize("refinement", ["consensus", "holding"])
def test_refinement_starts_from_the_detection_and_leaves_the_weights(estimator, case, detected, refinement):
    before = {name: value.clone() for name, value in estimator.detector.networks["detect"].net.state_dict().items()}
    *steps, last = estimator.with_options(refinement=refinement).run(case.volume, iterations=1)
    np.testing.assert_array_equal(last.points, steps[-1].points)
    assert [s.stage for s in steps] == ["locate", "detect", "refine", "refine"]
    np.testing.assert_allclose(steps[1].points, steps[2].points, atol=1e-3, err_msg="what is sure is read alike")
    assert not np.array_equal(steps[2].points, steps[3].points)
    assert np.nanmedian(distance(steps[3].points, case.landmarks)) < 2
    for name, value in estimator.detector.networks["detect"].net.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_closing_the_generator_cancels(estimator, case):
    run = estimator.run(case.volume, iterations=6)
    assert next(run).stage == "locate"
    run.close()
    with pytest.raises(StopIteration):
        next(run)


def test_a_pose_to_start_from_takes_the_place_of_pass_1(estimator, case, detected, monkeypatch):
    monkeypatch.setattr(Detector, "first_frames", lambda *_: pytest.fail("pass 1 has run"))
    found = estimator.estimate(case.volume, iterations=0, start=detected.points)
    assert np.nanmedian(distance(found.points, detected.points)) < 0.5


def test_a_placed_landmark_stays_where_it_was_put(estimator, case, detected):
    there = detected.points[9] + 3.0
    found = estimator.estimate(case.volume, iterations=1, placed={9: there})
    np.testing.assert_allclose(found.points[9], there)
    assert found.confidence[9] == 1
    assert np.nanmax(np.delete(distance(found.points, detected.points), 9)) < 5, "the others stay where they are seen"


def test_a_whole_volume_without_sides_is_read_jointly_in_one_look(estimator, case):
    """A single pass that marks every limb in the maps of both: sides from the library, and no second look."""
    half, looks = canonical_grid(case.volume, 1.0).coarsened(2), []

    def heatmaps(image):
        looks.append(image)
        maps = render(half.to_voxel(case.landmarks), half.array_shape, 2)
        return 0.8 * maps.maximum(maps[estimator.library.skeleton.mirror.copy()])

    single, spec = copy.copy(estimator), TaskSpec("whole", 1.0, 2.0)
    whole = SimpleNamespace(spec=spec, bfloat16=False, heatmaps=heatmaps, heatmap_grid=lambda grid: grid.coarsened(2))
    single.detector = Detector({"whole": whole}, estimator.device, None)
    found = single.estimate(case.volume, iterations=2)
    assert len(looks) == 1
    errors = distance(found.points, case.landmarks)
    assert np.nanmax(errors) < 0.5 and np.isfinite(errors).sum() >= 14
    assert np.nanmax(distance(found.unrefined, case.landmarks)) > 5, "one by one, the sides are anybody's guess"


def test_a_landmark_cut_off_is_not_guessed_and_the_others_stay(estimator, case, detected):
    """Of this subject the right wrist sticks out furthest: a volume that ends before it has 15 landmarks."""
    wrist = 9
    voxels = case.volume.grid.to_voxel(case.landmarks)
    axis = int(np.argmax(abs(voxels[wrist] - np.median(voxels, axis=0))))
    order = np.argsort(voxels[:, axis])
    first, last = order[0] == wrist, order[-1] == wrist
    assert first or last
    cut = int(round(0.6 * voxels[wrist, axis] + 0.4 * voxels[order[1 if first else -2], axis]))
    index = [slice(None)] * 3
    index[2 - axis] = slice(cut, None) if first else slice(0, cut)
    matrix = case.volume.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, axis] * (cut if first else 0)
    found = estimator.estimate(Volume(case.volume.array[tuple(index)], matrix), iterations=0)
    assert np.isnan(found.points[wrist]).all()
    assert np.delete(distance(found.points, case.landmarks), wrist).max() < 5


@pytest.mark.parametrize("rounds", [1, pytest.param(SearchOptions().rounds, marks=pytest.mark.slow)])
def test_a_volume_without_a_fetus_is_warned_about(estimator, rounds):
    noise = np.random.default_rng(0).integers(1, 255, (90, 90, 90)).astype(np.uint8)
    estimator = copy.copy(estimator)
    estimator.detector = replace(estimator.detector, search=SearchOptions(rounds=rounds))
    found = estimator.estimate(Volume(noise, np.eye(4)), iterations=0)
    assert any("no fetus" in warning for warning in found.warnings)


def test_provenance_says_what_made_the_pose(detected, estimator):
    assert detected.provenance["Model"] == "fetal-frame"
    assert detected.provenance["ModelSHA256"] == estimator.metadata["sha256"]
    assert {"SpacingMm", "Iterations", "Version"} <= detected.provenance.keys()
    assert detected.provenance["Refinement"] == "none", "of no iterations"
    assert detected.provenance["Precision"] in ("float32", "bfloat16")


@pytest.mark.parametrize(
    "refinement, says",
    [
        ("consensus", "consensus"),
        ("paper", "paper, K = 10"),
        (replace(REFINEMENTS["holding"], k=3), "holding, K = 3"),
        (OnlineSslOptions(k=7), "paper, K = 7"),
        (OnlineSslOptions(learning_rate=0.5), "paper, K = 10, learning_rate = 0.5"),
        (ConsensusOptions(views=3), "consensus, views = 3"),
    ],
)
def test_provenance_names_the_refinement(estimator, case, refinement, says):
    estimator = estimator.with_options(refinement=refinement)
    assert estimator._provenance(6, refined=True)["Refinement"] == says


def test_an_estimator_is_made_of_the_options_of_panel_and_command_line(estimator, tmp_path):
    path = tmp_path / "own.npz"
    PoseLibrary(estimator.library.poses[:2] + 1.0, ["own-1", "own-2"]).save(path)
    options = EstimateOptions("r4", "cpu", "paper", k=3, libraries=(str(path),))
    made = Estimator.from_options(options)
    assert (made.name, made.device.type, made.refinement) == ("r4", "cpu", OnlineSslOptions(k=3))
    assert made.library.names == (*estimator.library.names, "own-1", "own-2")
    assert made.spacing_mm == made.own_spacing_mm == 1.25
    with pytest.raises(FetalPoseError, match="works at 1.25 mm"):
        Estimator.from_options(replace(options, spacing_mm=3.0))


def test_other_options_leave_the_estimator_as_it_is(estimator):
    other = estimator.with_options(refinement="paper", checkpointing=True, spacing_mm=1.25, name="mine")
    assert (other.spacing_mm, other.name, other.detector.main.net.checkpointing) == (1.25, "mine", True)
    assert (estimator.spacing_mm, estimator.name, estimator.detector.main.net.checkpointing) == (
        1.0,
        "fetal-frame",
        False,
    )
    assert other.detector.main.net.descent is estimator.detector.main.net.descent, "the weights are shared"
    with pytest.raises(FetalPoseError, match="works at 1 or 1.25 mm, not at 3 mm"):
        estimator.with_options(spacing_mm=3.0)


@pytest.mark.parametrize(
    "options, says",
    [
        ({"device": "tpu"}, "no device 'tpu'. Choose one of auto, cpu, cuda"),
        ({"refinement": "magic"}, "no refinement 'magic'. Choose one of consensus, paper, holding"),
        ({"precision": "float16"}, "no precision 'float16'. Choose one of auto, float32, bfloat16"),
    ],
)
def test_an_unknown_choice_is_told_what_there_is(options, says):
    with pytest.raises(FetalPoseError, match=says):
        Estimator(**{"device": "cpu", **options})


def test_precision_is_what_was_asked_for():
    assert not any(
        network.bfloat16 for network in Estimator(device="cpu", precision="float32").detector.networks.values()
    )
    assert all(network.bfloat16 for network in Estimator(device="cpu", precision="bfloat16").detector.networks.values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_where_there_is_none():
    with pytest.raises(FetalPoseError, match="no GPU"):
        Estimator(device="cuda")


def test_a_volume_too_small_for_a_fetus(estimator):
    with pytest.raises(FetalPoseError, match="30 mm"):
        estimator.estimate(Volume(np.full((20, 40, 40), 7, np.uint8), np.eye(4)))


def test_the_library_holds_no_test_subject():
    library = PoseLibrary.load(resource_path("pose_library.npz"))
    assert len(library) >= 200
    assert all(name.startswith(("train-", "fresh-")) for name in library.names)
