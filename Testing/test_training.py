"""Training: truth stays on its anatomy, steps can be resumed, networks learn, and their file opens in the estimator."""

import json
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from volume_files import oblique_left_handed, write_nrrd

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.cli import main
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.estimator import Estimator
from FetalPoseLib.network.unet import LandmarkNet
from FetalPoseLib.network.weights import open_model
from FetalPoseLib.resources import resource_path
from FetalPoseLib.simulation.datasets import draw_subject
from FetalPoseLib.training.adversarial import AdversarialTrainer
from FetalPoseLib.training.background import Simulation, training_subjects
from FetalPoseLib.training.detector import COMPARED, SHIPPED, Recipe, Trainer
from FetalPoseLib.training.export import export_model
from FetalPoseLib.training.folders import convert, count_not_visible
from FetalPoseLib.training.library import SUBJECTS, bundled_library, library_of
from FetalPoseLib.training.methods import METHODS, PairTrainer, begin_with
from FetalPoseLib.training.pool import Pool, PoolCase, load_case, save_case
from FetalPoseLib.training.tasks import _turn_axes, draw, make_task, mirror_body
from FetalPoseLib.volume.axis_turns import AxisTurn
from FetalPoseLib.volume.grid import Grid, Volume, transform_points

SKELETON = load_skeleton()
LANDMARKS = draw_subject("fresh", 1).body.landmarks
LANDMARKS = LANDMARKS - (LANDMARKS.max(axis=0) + LANDMARKS.min(axis=0)) / 2
SIDE = 2 * (np.abs(LANDMARKS).max() + 6)  # mm, of a cube that holds them all


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the command, too
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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


@pytest.fixture(scope="module")
def case() -> PoolCase:
    size = round(SIDE / 2)
    affine = cube(2.0)
    return PoolCase("own-one", paint((size,) * 3, affine), Grid((size,) * 3, affine), LANDMARKS)


@pytest.fixture
def pool(case, tmp_path) -> Pool:
    folder = tmp_path / "pool"
    folder.mkdir()
    save_case(folder, case)
    return Pool(folder)


#: The task 'detect' on a coarse grid of 32 voxels a side.
COARSE = replace(make_task("detect", 2.0), voxels_per_size=10.0, sigma=2.0, disturbance=(5.0, 0.02, 0.02))


def network(task=COARSE, width=4, recurrence=0) -> LandmarkNet:
    return LandmarkNet(out_channels=task.channels, width=width, levels=2, input_stride=2, recurrence=recurrence)


def trainer(pool, folder, recipe, *, kind=Trainer, task=COARSE, validation=(), net=None, width=4, **options) -> Trainer:
    torch.manual_seed(recipe.seed)
    return kind(net or network(task, width), task, recipe, pool, list(validation), folder, **options)


# --- truth stays on its anatomy


def marked_body():
    """A body of 16 voxels of different brightness, and a brighter one before its spine that says where its front is."""
    grid = Grid((40, 44, 48), np.eye(4))
    rng = np.random.default_rng(5)
    frame = FetalFrame(np.eye(3), np.array([20.0, 22, 24]), 12.0)
    voxels = np.round(frame.to_world(FetalFrame.from_landmarks(LANDMARKS).to_body(LANDMARKS)))
    voxels += rng.integers(0, 2, voxels.shape)  # no two sides alike
    image = torch.zeros(grid.array_shape)
    for i, (x, y, z) in enumerate(voxels.astype(int)):
        image[z, y, x] = i + 1
    front = np.round(voxels[SKELETON.index("spine")] + [0, 6, 0]).astype(int)
    image[tuple(front[::-1])] = 100
    return image, grid, voxels


def check_truth(image, grid, points) -> bool:
    """Every landmark lies on its own voxel, or every one on its partner's; returns whether it is the partners.

    Whatever happened to the array, the body it now shows must have its right side where its front and head demand it.
    """
    voxels = np.round(grid.to_voxel(points)).astype(int)
    names = np.array([int(image[z, y, x]) - 1 for x, y, z in voxels])
    mirrored = names[SKELETON.index("right_wrist")] == SKELETON.index("left_wrist")
    np.testing.assert_array_equal(names, SKELETON.mirror if mirrored else np.arange(16))
    front = grid.to_world(np.argwhere(image.numpy() == 100)[0][::-1].astype(float))
    body_front = FetalFrame.from_landmarks(points).to_body(front[None])[0]
    spine = FetalFrame.from_landmarks(points).to_body(points)[SKELETON.index("spine")]
    assert body_front[1] > spine[1], "the sides are exchanged: front and head make the body's right another"
    return mirrored


def test_a_mirrored_body_changes_its_sides():
    image, grid, landmarks = marked_body()
    assert not check_truth(image, grid, landmarks)
    flipped, points = mirror_body(image, grid, landmarks)
    assert check_truth(flipped, grid, points)
    with pytest.raises(AssertionError):  # the check itself: without the exchange it would not pass
        check_truth(flipped, grid, points[SKELETON.mirror])


def test_turned_axes_change_sides_exactly_when_they_mirror():
    image, grid, landmarks = marked_body()
    seen = set()
    for seed in range(150):
        turned, other, points = _turn_axes(image, grid, landmarks, AxisTurn.random(np.random.default_rng(seed)))
        mirrored = check_truth(turned, other, points)
        seen.add((mirrored, tuple(np.round(points[SKELETON.index("head")]))))
    assert len(seen) > 40 and 20 <= sum(mirrored for mirrored, _ in seen) <= 24  # nearly all of the 48


@pytest.mark.parametrize("name", ["locate", "orient", "detect", "whole"])
def test_a_sample_shows_its_points(case, name):
    """Augmented or not, the brightness at the points is that of the blobs."""
    task = make_task(name, 2.0)
    for rng in (None, *(np.random.default_rng(seed) for seed in range(3))):
        sample = draw(task, case, rng)
        voxels = np.round(sample.grid.to_voxel(sample.points)).astype(int)
        inside = ((voxels >= 0) & (voxels < sample.grid.shape)).all(axis=1)
        inside[[4] if task.channels == 5 else []] = False  # "front" is no blob
        values = [float(sample.image[z, y, x]) for x, y, z in voxels[inside]]
        grey = float(sample.image[sample.image != 0].median())
        assert inside.sum() >= 4 and min(values) > grey + 0.5


def views(case, *, draws=200) -> list[torch.Tensor]:
    """The different images that the task 'whole' draws of a case."""
    task, seen = make_task("whole", 2.0), []
    for seed in range(draws):
        image = draw(task, case, np.random.default_rng(seed)).image
        if not any(image.shape == other.shape and torch.equal(image, other) for other in seen):
            seen.append(image)
    return seen


def small(name: str) -> PoolCase:
    """A case of few voxels, no two sides alike."""
    volume = np.random.default_rng(0).integers(1, 255, (4, 5, 6)).astype(np.uint8)
    return PoolCase(name, volume, Grid((6, 5, 4), np.diag([2.0, 2.0, 2.0, 1.0])), LANDMARKS)


def test_a_case_is_shown_in_the_same_few_views_every_time():
    first, again, other = (views(small(name)) for name in ("own-one", "own-one", "own-two"))
    assert len(first) == len(again) <= 8 and len(first) > 4
    for image in first:
        assert any(image.shape == same.shape and torch.equal(image, same) for same in again)
    sizes = [sorted((tuple(image.shape), image.flatten()[0].item()) for image in images) for images in (first, other)]
    assert sizes[0] != sizes[1], "another case is turned in other ways"
    task = make_task("whole", 2.0)
    with_rng = draw(task, small("own-one"), np.random.default_rng(0)).image
    upright = draw(task, small("own-one"), None).image
    torch.testing.assert_close(with_rng.flatten().sort().values, upright.flatten().sort().values)  # no other greys


def test_a_case_is_shown_in_eight_views():
    assert {len(views(small(f"train-{subject:03d}"))) for subject in range(12)} == {8}


# --- the trainer


@pytest.mark.parametrize("kind", [Trainer, AdversarialTrainer, PairTrainer])
def test_three_steps_and_three_more_are_six(pool, tmp_path, kind):
    recipe = replace(SHIPPED, steps=6, warmup=2, bfloat16=False)
    through = trainer(pool, tmp_path / "through", recipe, kind=kind)
    through.run(progress=False)

    class Interrupted(kind):
        def _one_step(self):
            self.stopped = self.step == 2  # as Ctrl-C does, in the middle of a step
            return super()._one_step()

    first = trainer(pool, tmp_path / "parts", recipe, kind=kind)
    first.__class__ = Interrupted
    first.run(progress=False)
    assert first.step == 3 and first.stopped
    second = trainer(Pool(pool.folder), tmp_path / "parts", replace(recipe), kind=kind)
    assert second.resume() and second.step == 3
    second.run(progress=False)
    parts = ["net", "average", *(["discriminator"] if kind is AdversarialTrainer else [])]
    for part in parts:
        for key, value in getattr(through, part).state_dict().items():
            assert torch.equal(value, getattr(second, part).state_dict()[key]), (part, key)


def test_a_training_is_not_resumed_as_another(pool, tmp_path):
    trainer(pool, tmp_path / "run", Recipe(steps=1)).run(progress=False)
    with pytest.raises(FetalPoseError, match="trained as detect at 2 mm.*'width': 4.*'width': 8.*another --folder"):
        trainer(pool, tmp_path / "run", Recipe(), width=8).resume()
    assert not trainer(pool, tmp_path / "new", Recipe()).resume()


def test_an_empty_pool_is_refused(tmp_path):
    with pytest.raises(FetalPoseError, match="no training case in"):
        trainer(Pool(tmp_path), tmp_path / "run", Recipe(steps=1)).run(progress=False)


def test_one_case_can_be_learnt(pool, tmp_path, case):
    recipe = replace(SHIPPED, steps=120, learning_rate=5e-3, warmup=5, averaging=0.9, bfloat16=False)
    learner = trainer(pool, tmp_path / "run", recipe, validation=[case], width=8, validate_every=20)
    learner.run(progress=False)
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(20, 121, 20))
    assert rows[-1]["loss"] < 0.3 * rows[0]["loss"]
    assert learner.best < 0.75 * rows[0]["mean_mm"]
    assert learner.best == min(row["mean_mm"] for row in rows) and (tmp_path / "run" / "best.pt").exists()


def test_learning_rate_rises_stays_and_falls():
    recipe = Recipe(steps=100, learning_rate=1.0, warmup=10, decay=0.5)
    assert [recipe.rate(step) for step in (0, 9, 49, 75)] == pytest.approx([0.1, 1, 1, 0.5])
    assert {Recipe().rate(step) for step in range(0, 16000, 1000)} == {1e-3}  # the paper's


def test_a_long_gradient_is_shortened_and_a_short_one_is_not(pool, tmp_path):
    def longest(clip: float) -> float:
        one = trainer(pool, tmp_path / f"clip {clip}", replace(COMPARED, steps=1, bfloat16=False, clip=clip))
        one.run(progress=False)
        return float(torch.stack([parameter.grad.norm() for parameter in one.net.parameters()]).norm())

    free = longest(0.0)
    assert longest(free / 10) == pytest.approx(free / 10, rel=1e-3)
    assert longest(free * 10) == pytest.approx(free, rel=1e-3)


# --- the methods that are compared


def pair_of(one: Trainer, seed=0):
    """What `_loss` is given in a step: a prediction with a gradient, its target and the image."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(16, 16, 16, 16, generator=generator)
    image = torch.rand(1, 32, 32, 32, generator=generator)
    return one.net(image[None])[0], target, image


def test_the_two_of_a_gan_learn_apart(pool, tmp_path):
    """The detector learns nothing of the discriminator's step, and the discriminator nothing of the detector's."""
    gan = trainer(pool, tmp_path / "gan", Recipe(steps=4), kind=AdversarialTrainer)
    before = {key: value.clone() for key, value in gan.discriminator.state_dict().items()}
    prediction, target, image = pair_of(gan)
    loss = gan._loss(prediction, target, image)
    assert all(parameter.grad is None for parameter in gan.net.parameters())
    assert any(not torch.equal(value, before[key]) for key, value in gan.discriminator.state_dict().items())
    gradients = [parameter.grad.clone() for parameter in gan.discriminator.parameters()]
    weights = [parameter.detach().clone() for parameter in gan.discriminator.parameters()]
    loss.backward()
    for parameter, gradient, weight in zip(gan.discriminator.parameters(), gradients, weights, strict=True):
        assert torch.equal(parameter.grad, gradient) and torch.equal(parameter, weight)
    assert all(parameter.grad.abs().max() > 0 for parameter in gan.net.parameters())


def test_a_detector_is_pushed_towards_what_the_discriminator_takes_for_annotated(pool, tmp_path, monkeypatch):
    """The loss is the plain one and, with a small weight, what the discriminator says of these very heatmaps."""
    gan = trainer(pool, tmp_path / "gan", Recipe(steps=4, foreground=3.0), kind=AdversarialTrainer)
    gan.judging = torch.optim.SGD(gan.discriminator.parameters(), lr=0.0)  # it learns nothing here
    _, target, image = pair_of(gan)
    plain = trainer(pool, tmp_path / "plain", Recipe(steps=4, foreground=3.0))
    worse = torch.rand(target.shape, generator=torch.Generator().manual_seed(5), requires_grad=True)
    monkeypatch.setattr("FetalPoseLib.training.adversarial.WEIGHT", 10.0)
    (push,) = torch.autograd.grad(gan._loss(worse, target, image) - plain._loss(worse, target, image), worse)
    with torch.no_grad():
        seen = torch.nn.functional.avg_pool3d(image[None], 2)[0]
        taken = [gan.discriminator(seen, worse - step * push).mean().item() for step in (0.0, 1.0)]
    assert taken[1] > taken[0]


def test_the_discriminator_learns_to_tell_them_apart(pool, tmp_path):
    gan = trainer(pool, tmp_path / "gan", Recipe(steps=4), kind=AdversarialTrainer)
    prediction, target, image = pair_of(gan)
    seen = torch.nn.functional.avg_pool3d(image[None], 2)[0]
    for _ in range(15):
        gan._loss(prediction, target, image)
    with torch.no_grad():
        assert gan.discriminator(seen, target).mean() > gan.discriminator(seen, prediction).mean() + 0.2


def test_the_weight_of_the_side_grows_from_plain_to_its_most(pool, tmp_path):
    pair = trainer(pool, tmp_path / "pair", Recipe(steps=100, foreground=0.0), kind=PairTrainer)
    plain = trainer(pool, tmp_path / "plain", Recipe(steps=100, foreground=0.0))
    target = torch.rand(16, 4, 4, 4)
    target[SKELETON.mirror == np.arange(16)] = 0  # no error but that of side
    exchanged = target[SKELETON.mirror.copy()]
    weights = []
    for pair.step in (0, 50, 100):
        weights.append((pair._loss(exchanged, target, None) / plain._loss(exchanged, target, None)).item())
    assert weights == pytest.approx([1, 2.5, 4], rel=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_begins_with_what_the_detector_says(pool, tmp_path, method):
    trained = trainer(pool, tmp_path / "whole", Recipe(steps=2))
    trained.run(progress=False)
    torch.manual_seed(9)
    net = network(recurrence=METHODS[method].recurrence)
    image = torch.rand(1, 1, 16, 16, 16)
    assert not torch.allclose(net.eval()(image), trained.net.eval()(image))
    begin_with(net, tmp_path / "whole" / "state.pt")
    torch.testing.assert_close(net.eval()(image), trained.net.eval()(image))
    going_on = trainer(pool, tmp_path / method, Recipe(steps=1), kind=METHODS[method].trainer, net=net)
    torch.testing.assert_close(going_on.average.eval()(image), trained.net(image), msg="the mean begins there, too")
    going_on.run(progress=False)
    assert not torch.allclose(going_on.net.eval()(image), trained.net(image))
    again = network(recurrence=METHODS[method].recurrence)
    resumed = trainer(pool, tmp_path / method, Recipe(steps=1), kind=METHODS[method].trainer, net=again)
    assert resumed.resume() and resumed.step == 1


@pytest.mark.parametrize("recurrence", [0, 2])
def test_a_method_begins_with_nothing_else(pool, tmp_path, recurrence):
    with pytest.raises(FetalPoseError, match="no trained detector to go on from in .*nowhere.*without --method"):
        begin_with(network(recurrence=recurrence), tmp_path / "nowhere" / "state.pt")
    trainer(pool, tmp_path / "whole", Recipe(steps=1)).run(progress=False)
    with pytest.raises(FetalPoseError, match="'width': 4.*not of .*'width': 8.*Use its options"):
        begin_with(network(width=8, recurrence=recurrence), tmp_path / "whole" / "state.pt")


# --- export


def test_a_single_pass_opens_in_the_estimator(pool, tmp_path, case):
    learner = trainer(pool, tmp_path / "whole", Recipe(steps=2), task=make_task("whole"), validation=[case])
    learner.run(progress=False)
    metadata = export_model({"whole": tmp_path / "whole"}, tmp_path / "model.safetensors")
    assert metadata["kind"] == "single-pass" and metadata["spacing_mm"] == 1.25
    assert metadata["trained"]["whole"]["steps"] == 2 and metadata["trained"]["whole"]["cases"] == 1
    assert metadata["trained"]["whole"]["validation"]["mean_mm"] > 0
    state, header = open_model(tmp_path / "model.safetensors")
    assert header["sha256"] == metadata["sha256"] and header["trained"] == metadata["trained"]
    for key, value in learner.average.state_dict().items():
        stored = state[f"whole.{key}"]
        assert stored.dtype == (torch.float16 if value.ndim > 1 else value.dtype)
        torch.testing.assert_close(stored.to(value.dtype), value, atol=1e-6, rtol=1e-3)
    estimate = Estimator(tmp_path / "model.safetensors", device="cpu").estimate(
        Volume(case.volume, case.grid.affine), iterations=0
    )
    assert estimate.points.shape == (16, 3)


def test_an_untrained_pass_cannot_be_exported(tmp_path):
    with pytest.raises(FetalPoseError, match="'whole' cannot be exported.*Train it"):
        export_model({"whole": tmp_path}, tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


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


@pytest.fixture
def data(tmp_path):
    """A folder of two pairs, isotropic and oblique; the oblique one does not see a wrist."""
    folder = tmp_path / "data"
    folder.mkdir()
    size = round(SIDE / 2)
    lps_nrrd(folder / "a.nrrd", cube(2.0), (size,) * 3)
    lps_markups(folder / "a.mrk.json", LANDMARKS)
    shape = tuple(int(1.5 * SIDE / step) for step in (1.3, 2.0, 1.5))
    lps_nrrd(folder / "b.old.nrrd", anisotropic_left_handed(shape), shape)
    points = LANDMARKS.copy()
    points[SKELETON.index("left_wrist")] = np.nan
    lps_markups(folder / "b.old.mrk.json", points, system="RAS")
    return folder


def test_a_folder_becomes_cases_in_the_same_world(data, tmp_path):
    cases = [load_case(path) for path in convert(data, tmp_path / "pool", spacing=1.5, frame=True)]
    assert [case.name for case in cases] == ["own-a", "own-b.old"]
    for case in cases:
        np.testing.assert_allclose(case.grid.affine[:3, :3], 1.5 * np.eye(3))
        seen = np.isfinite(case.landmarks).all(axis=1)
        np.testing.assert_allclose(case.landmarks[seen], LANDMARKS[seen], atol=1e-4)
        bright = case.volume.astype(float) - 41
        for i in (SKELETON.index("right_wrist"), SKELETON.index("head")):  # the blobs lie where the truth says
            centre = np.round(case.grid.to_voxel(LANDMARKS[i])).astype(int)
            box = [np.arange(c - 3, c + 4) for c in centre]
            weight = bright[np.ix_(*box[::-1])].clip(0)
            weight[weight < 0.5 * weight.max()] = 0
            where = [(weight.sum(axis=tuple({0, 1, 2} - {2 - a})) * box[a]).sum() / weight.sum() for a in range(3)]
            assert np.linalg.norm(case.grid.to_world(where) - LANDMARKS[i]) < 1.0
    assert count_not_visible(np.array([case.landmarks for case in cases])) == {"left_wrist": 1}


def test_converting_again_does_only_what_changed(data, tmp_path):
    first, second = convert(data, tmp_path / "pool", spacing=2.0, frame=True)
    times = [path.stat().st_mtime_ns for path in (first, second)]
    convert(data, tmp_path / "pool", spacing=2.0, frame=True)
    assert [path.stat().st_mtime_ns for path in (first, second)] == times
    for name in ("b.old.nrrd", "b.old.mrk.json"):
        (data / name).unlink()
    (tmp_path / "pool" / "fresh-00000.npz").touch()
    assert convert(data, tmp_path / "pool", spacing=2.0, frame=True) == [first]
    assert not second.exists() and (tmp_path / "pool" / "fresh-00000.npz").exists()


def spoil(folder, how):
    a = folder / "a.mrk.json"
    points, names = LANDMARKS.copy(), list(SKELETON.landmarks)
    if how == "gone":
        return folder / "nowhere"
    if how == "empty":
        (folder.parent / "empty").mkdir()
        return folder.parent / "empty"
    if how == "no landmarks":
        a.unlink()
    elif how == "no volume":
        (folder / "a.nrrd").unlink()
    elif how == "twice":
        (folder / "a.mha").touch()
    elif how == "label missing":
        lps_markups(a, points[:-1], names=names[:-1])
    elif how == "wrong name":
        lps_markups(a, points, names=[*names[:-1], "L ankle"])
    elif how == "trunk unset":
        points[SKELETON.index("sacrum")] = np.nan
        lps_markups(a, points)
    elif how == "head unset":
        points[0] = np.nan
        lps_markups(a, points)
    elif how == "all unset":
        lps_markups(a, np.full((16, 3), np.nan))
    elif how == "elsewhere":
        lps_markups(a, points + [0, 300, 0])
    elif how == "no markups":
        a.write_text("{}")
    elif how == "damaged":
        (folder / "a.nrrd").write_bytes((folder / "a.nrrd").read_bytes()[:5000])
    return folder


@pytest.mark.parametrize(
    "how, message",
    [
        ("gone", "nowhere does not exist"),
        ("empty", r"holds 0 volumes and 0 .mrk.json files, and needs both: such as case1.nrrd with case1.mrk.json"),
        ("no landmarks", "volumes without landmarks: a. Place them"),
        ("no volume", "landmarks without a volume: a. Give"),
        ("twice", "several volumes: a. Keep one"),
        ("label missing", "a.mrk.json.*missing: left_ankle"),
        ("wrong name", "a.mrk.json.*missing: left_ankle.*not a landmark: L ankle"),
        ("trunk unset", "a.mrk.json.*not visible: sacrum.*cannot train fetal-frame"),
        ("head unset", "a.mrk.json: The head is not visible.*cannot train fetal-frame"),
        ("all unset", "No landmark of .*a.mrk.json is placed"),
        ("elsewhere", "16 of the 16 landmarks of .*a.mrk.json lie outside a.nrrd"),
        ("no markups", "a.mrk.json is not a markups point list"),
        ("damaged", "a.nrrd cannot be read as a volume"),
    ],
)
def test_a_bad_folder_ends_in_its_message(data, tmp_path, capsys, how, message):
    folder, output = spoil(data, how), tmp_path / "m.safetensors"
    with pytest.raises(FetalPoseError, match=message):
        convert(folder, tmp_path / "pool", spacing=2.0, frame=True)
    options = ["--output", str(output), "--folder", str(tmp_path / "run")]
    assert main(["train", "--model", "fetal-frame", "--data", str(folder), *options]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("fetalpose: error: ") and not output.exists()


def test_a_pose_that_is_not_whole_still_trains_a_single_pass(data, tmp_path):
    spoil(data, "trunk unset")
    assert len(convert(data, tmp_path / "pool", spacing=2.0, frame=False)) == 2


# --- pose libraries


def test_the_bundled_library_is_what_its_module_makes(monkeypatch):
    library = PoseLibrary.load(resource_path("pose_library.npz"))
    assert len(library) == 400
    assert {name.split("-")[0] for name in library.names} == {"train", "fresh"} == set(SUBJECTS)
    monkeypatch.setitem(SUBJECTS, "train", 2)
    monkeypatch.setitem(SUBJECTS, "fresh", 2)
    rows = [library.names.index(name) for name in bundled_library().names]
    np.testing.assert_allclose(bundled_library().poses, library.poses[rows], atol=1e-6)
    for pose in library.poses[::40]:
        np.testing.assert_allclose(FetalFrame.from_landmarks(pose).rotation, np.eye(3), atol=1e-9)


def test_a_library_of_own_poses_leaves_out_what_is_not_whole():
    cut = LANDMARKS.copy()
    cut[0] = np.nan
    library = library_of([LANDMARKS, cut], ["a", "b"], "here")
    assert library.names == ("a",) and library.meta["source"] == "here"
    aligned, residual = library.support_set(LANDMARKS, k=1)
    np.testing.assert_allclose(aligned[0], LANDMARKS, atol=1e-6)
    with pytest.raises(FetalPoseError, match="None of the 1 poses of here"):
        library_of([cut], ["b"], "here")


# --- the command


def train(*arguments) -> int:
    try:
        return main(["train", *map(str, arguments)])
    except SystemExit as end:
        return end.code


def test_training_on_a_folder_makes_a_model_that_estimates(data, tmp_path, capsys):
    output, own = tmp_path / "mine.safetensors", tmp_path / "own.npz"
    options = ["--model", "fetal-frame", "--data", data, "--validation", data, "--folder", tmp_path / "run",
               "--width", 2, "--device", "cpu", "--recipe", "paper", "--steps", 2, "--output", output]  # fmt: skip
    assert train(*options, "--pass", "locate") == 0
    assert "written once --pass orient is" in capsys.readouterr().out and not output.exists()
    assert train(*options, "--library", own) == 0
    said = capsys.readouterr()
    assert "going on from step 2 of 2" in said.out and "left_wrist 1" in said.err and "1 of 2 poses" in said.out
    _, metadata = open_model(output)
    assert metadata["kind"] == "fetal-frame" and metadata["spacing_mm"] == 1.0
    assert list(metadata["networks"]) == ["locate", "orient", "detect"]
    assert metadata["networks"]["detect"]["task"]["foreground"] == Recipe().foreground
    assert metadata["trained"]["detect"]["validation"]["mean_mm"] > 0
    estimator = Estimator(output, device="cpu", library=PoseLibrary.load(own))
    case = load_case(tmp_path / "run" / "pool" / "own-a.npz")
    try:
        assert estimator.estimate(Volume(case.volume, case.grid.affine), iterations=0).points.shape == (16, 3)
    except FetalPoseError as error:  # two steps do not teach what a fetus is
        assert "No fetus found" in str(error)
    half = output.stat().st_size
    assert train(*options, "--export", "--precision", "int8") == 0
    assert output.stat().st_size < 0.75 * half


def test_a_method_goes_on_from_the_model_and_is_a_model_itself(data, tmp_path, capsys):
    output = tmp_path / "rnn.safetensors"
    options = ["--model", "r4", "--data", data, "--folder", tmp_path / "run", "--width", 2, "--input-stride", 2,
               "--checkpointing", "off", "--device", "cpu", "--steps", 1]  # fmt: skip
    assert train(*options, "--method", "rnn", "--output", output) == 1
    assert "no trained detector to go on from" in capsys.readouterr().err and not output.exists()
    assert train(*options, "--output", tmp_path / "r4.safetensors") == 0
    before = (tmp_path / "run" / "whole" / "state.pt").read_bytes()
    assert train(*options, "--method", "rnn", "--output", output) == 0
    assert (tmp_path / "run" / "whole" / "state.pt").read_bytes() == before, "what it went on from stays"
    _, metadata = open_model(output)
    assert metadata["networks"]["whole"]["network"]["recurrence"] == METHODS["rnn"].recurrence
    recipe = metadata["trained"]["whole"]["recipe"]
    assert (recipe["steps"], recipe["decay"], recipe["clip"]) == (1, 1.0, COMPARED.clip)
    assert metadata["trained"]["whole, before"]["recipe"]["foreground"] == Recipe().foreground
    case = load_case(tmp_path / "run" / "pool" / "own-a.npz")
    estimate = Estimator(output, device="cpu").estimate(Volume(case.volume, case.grid.affine), iterations=0)
    assert estimate.points.shape == (16, 3)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--model", "fetal-frame", "--method", "gan"], "--method gan is a variant of the paper's models"),
        (["--model", "r4", "--method", "crf"], "invalid choice: 'crf'"),
        (["--model", "r4", "--recipe", "best"], "invalid choice: 'best'"),
        (["--model", "r4", "--curves", "curves.pdf"], "must end in .png"),
        (["--model", "r4", "--method", "gan", "--export"], "'whole' cannot be exported"),
        (["--model", "r4", "--pass", "locate"], "--pass locate is a part of fetal-frame"),
        (["--model", "r4", "--cases", 0], "--cases 0 leaves nothing to train on"),
        (["--model", "r4", "--library", "own.npz"], "--library takes the poses from --data"),
        (["--model", "r4", "--export"], "'whole' cannot be exported"),
        (["--model", "r5"], "invalid choice: 'r5'"),
        (["--model", "r4", "--steps", "0"], "'0' is not a count: give 1, 2, ..."),
    ],
)
def test_bad_options_end_in_one_line(tmp_path, capsys, options, message):
    assert train(*options, "--output", tmp_path / "m.safetensors", "--folder", tmp_path / "run") != 0
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_bad_outputs_are_refused_before_any_work(tmp_path, capsys, data, pool):
    assert train("--model", "r4", "--output", tmp_path / "nowhere" / "m.safetensors") == 1
    assert train("--model", "r4", "--output", tmp_path / "m.pt") == 1
    trainer(pool, tmp_path / "run" / "whole", Recipe(steps=1), task=make_task("whole")).run(progress=False)
    again = ["--output", tmp_path / "m.safetensors", "--folder", tmp_path / "run", "--resume", "never", "--data", data]
    assert train("--model", "r4", *again) == 1
    assert "holds a training already" in capsys.readouterr().err


def test_ctrl_c_stops_between_steps_and_writes_no_model(data, tmp_path, monkeypatch, capsys):
    step = Trainer._one_step

    def interrupted(self):
        if self.step == 1:
            signal.raise_signal(signal.SIGINT)
        return step(self)

    monkeypatch.setattr(Trainer, "_one_step", interrupted)
    options = ["--model", "fetal-frame", "--pass", "locate", "--data", data, "--folder", tmp_path / "run", "--width", 2,
               "--steps", 5, "--device", "cpu", "--recipe", "paper",
               "--output", tmp_path / "m.safetensors"]  # fmt: skip
    before = signal.getsignal(signal.SIGINT)
    assert train(*options) == 130
    assert signal.getsignal(signal.SIGINT) is before and not (tmp_path / "m.safetensors").exists()
    assert "stopped at step 2; the same command goes on" in capsys.readouterr().err
    assert torch.load(tmp_path / "run" / "locate" / "state.pt", weights_only=True)["step"] == 2


def test_help_teaches(capsys):
    assert train("--help") == 0
    text = capsys.readouterr().out
    options = ("--data", "paper", "shipped", "compared", *METHODS)
    for word in ("patient01.mrk.json", *SKELETON.landmarks, *options, "Ctrl-C"):
        assert word in text, word


# --- simulating in the background, and memory


def test_subjects_to_train_on_start_with_the_benchmarks():
    subjects = training_subjects(112)
    expected = [("train2", 0), ("train2", 1), ("train2", 99), ("fresh2", 0), ("fresh2", 1), ("fresh2", 2)]
    assert subjects[:2] + subjects[108:] == [*expected[:2], *expected[2:]]
    assert [k for k, (split, _) in enumerate(subjects) if split == "fresh-absent2"] == list(range(11, 112, 12))
    assert {split for split, _ in training_subjects(112, presentation="standard")} == {
        "train2-standard", "fresh2-standard",
    }  # fmt: skip


def test_simulation_fills_the_folder_and_ends_with_its_context(tmp_path):
    with Simulation(tmp_path, [("fresh", 0)], spacing=6.0, workers=2) as simulation:
        simulation.wait_for(1)
        (process,) = simulation._processes
    assert not process.is_alive()
    assert [path.name for path in tmp_path.iterdir()] == ["fresh-00000.npz"]
    np.testing.assert_allclose(load_case(tmp_path / "fresh-00000.npz").grid.spacing, 6.0)
    with Simulation(tmp_path, [("fresh", 0)], spacing=6.0, workers=2) as again:  # nothing left to do
        again.wait_for(16)
        assert not again._processes


def test_a_failing_simulation_says_so(tmp_path):
    with Simulation(tmp_path, [("train", 100)], spacing=6.0, workers=1) as simulation:  # there are 100, from 0
        with pytest.raises(FetalPoseError, match="Simulating into .* failed"):
            simulation.wait_for(1)


def test_freed_memory_is_kept():
    code = """
import platform, torch
from FetalPoseLib.network.memory import keep_freed_memory
def faults():
    import resource
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(30):
        torch.empty(2**23).fill_(1)  # 32 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
if platform.libc_ver()[0] == "glibc":
    given_back = faults()
    assert keep_freed_memory()
    faults()
    assert faults() < 0.3 * given_back
else:
    assert not keep_freed_memory()
"""
    root = resource_path("skeleton.json").parent.parent
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
