"""On-line refinement: the paper's loop step by step, on painted heatmaps and on the real network."""

import copy
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.network.heatmaps import decode, render
from FetalPoseLib.network.losses import heatmap_loss
from FetalPoseLib.network.task_spec import TaskSpec
from FetalPoseLib.network.unet import LandmarkNet, set_normalisation
from FetalPoseLib.refinement import online_ssl as refinement
from FetalPoseLib.refinement.online_ssl import OnlineSsl, label_proxy
from FetalPoseLib.refinement.options import OnlineSslOptions
from FetalPoseLib.volume.grid import Grid

GRID = Grid((24, 26, 28), np.diag([2.5, 2.5, 2.5, 1.0]))
SIGMA = 1.5
WRIST = 5  # not in the registration subset
VOLUME = torch.zeros(1, 1, 2, 2, 2)


class PaintedNet(torch.nn.Module):
    """A "detector" whose heatmaps are its parameters."""

    def __init__(self, *poses_and_heights):
        super().__init__()
        maps = sum(height * render(GRID.to_voxel(pose), GRID.array_shape, SIGMA) for pose, height in poses_and_heights)
        self.maps = torch.nn.Parameter(maps[None])

    def forward(self, volume):
        return self.maps.clone()


@pytest.fixture
def body():
    return np.random.default_rng(3).uniform(12, 48, (16, 3))


@pytest.fixture
def library(body):
    """The body itself and 29 that differ from it more and more, all turned by 180 degrees and shifted."""
    rng = np.random.default_rng(4)
    bodies = [body + rng.normal(0, 0.15 * i, (16, 3)) for i in range(30)]
    return PoseLibrary(np.array(bodies[::-1]) @ np.diag([-1.0, -1.0, 1.0]) + 100)


def loop(net, library, *, grid=GRID, iterations=6, placed=None, normalisation="volume", **options):
    """The loop with a task and options like those of a bundled model."""
    spec = TaskSpec("whole", 2.5, SIGMA, normalisation=normalisation)
    return OnlineSsl(
        net, library, grid=grid, spec=spec, options=OnlineSslOptions(**options), iterations=iterations,
        placed=placed or {},
    )  # fmt: skip


def refine(net, library, volume=VOLUME, **options):
    return list(loop(net, library, **options).run(volume))


def unet(**options):
    """A network with a past, so that its running averages are not the initial ones."""
    torch.manual_seed(0)
    net = LandmarkNet(width=4, levels=2, **options)
    net(torch.randn(1, 1, 16, 16, 16))
    return net


@pytest.fixture
def copies(monkeypatch):
    """Weak references to the copies of the network that refinement makes."""
    made = []

    def deepcopy(net):
        made.append(weakref.ref(result := copy.deepcopy(net)))
        return result

    monkeypatch.setattr(refinement, "copy", SimpleNamespace(deepcopy=deepcopy))
    return made


def test_a_step_is_detection_support_set_and_loss(body, library):
    net = PaintedNet((body, 0.8))
    steps = refine(net, library, iterations=2)
    assert [step.iteration for step in steps] == [0, 1, 2]
    first = steps[0]
    np.testing.assert_allclose(first.points, body, atol=0.15)
    np.testing.assert_allclose(first.confidence, decode(net.maps[0])[1])
    aligned, residual = library.support_set(first.points, 10)
    np.testing.assert_allclose(first.proxy, aligned)
    np.testing.assert_allclose(first.residual, residual)
    assert first.loss == pytest.approx(heatmap_loss(net.maps[0], label_proxy(aligned, GRID, SIGMA)).item(), rel=1e-5)


def test_the_first_update_is_one_step_of_adam(body, library, copies):
    net = PaintedNet((body, 0.8))
    steps = loop(net, library).run(VOLUME)
    first = next(steps)
    proxy = label_proxy(first.proxy, GRID, SIGMA)
    next(steps)
    moved = copies[0]().maps.detach()[0] - net.maps.detach()[0]
    clear = (proxy - net.maps.detach()[0]).abs() > 0.1
    torch.testing.assert_close(moved[clear], 5e-4 * torch.sign(proxy - net.maps.detach()[0])[clear], rtol=5e-2, atol=0)


def test_the_library_puts_a_swapped_landmark_right(body, library):
    """The wrist's map prefers a wrong place by a little; all other landmarks say where the wrist should be."""
    wrong = np.full((16, 3), np.nan)
    wrong[WRIST] = body[WRIST] + [0.0, 14.0, 0.0] if body[WRIST, 1] < 30 else body[WRIST] - [0.0, 14.0, 0.0]
    net = PaintedNet((body, 0.5), (wrong, 0.55))
    steps = refine(net, library, learning_rate=0.02, k=5)
    errors = [np.linalg.norm(step.points[WRIST] - body[WRIST]) for step in steps]
    assert errors[0] > 12 and errors[-1] < 1
    losses = [step.loss for step in steps]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("options", [{}, {"parameters": "decoder"}, {"normalisation": "running"}])
def test_the_loaded_network_stays_as_it_is(library, options):
    net = unet()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    refine(net, library, torch.randn(1, 1, *GRID.array_shape), iterations=2, **options)
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert net.training and all(p.requires_grad and p.grad is None for p in net.parameters())


@pytest.mark.parametrize("normalisation", ["volume", "running"])
def test_iteration_0_is_plain_detection_and_a_second_run_is_the_same(library, normalisation):
    net, volume = unet(), torch.randn(1, 1, *GRID.array_shape)
    steps, again = (refine(net, library, volume, iterations=2, normalisation=normalisation) for _ in range(2))
    for step, same in zip(steps, again, strict=True):
        np.testing.assert_array_equal(step.points, same.points)
        assert step.loss == same.loss
    set_normalisation(net.eval(), normalisation)
    np.testing.assert_array_equal(steps[0].points, GRID.to_world(decode(net(volume)[0])[0]))
    assert steps[2].loss < steps[0].loss


def test_normalisation_is_the_one_asked_for(library):
    volume = 3 * torch.randn(1, 1, *GRID.array_shape)
    found = {}
    for mode in ("volume", "running"):
        net = unet()
        found[mode] = refine(net, library, volume, iterations=0, normalisation=mode)[0].confidence
        set_normalisation(net.eval(), mode)
        np.testing.assert_array_equal(found[mode], decode(net(volume)[0])[1])
    assert np.abs(found["volume"] - found["running"]).max() > 0.01


def test_heatmaps_of_a_strided_network_lie_on_the_coarsened_grid(library):
    fine = Grid((33, 32, 47), np.diag([1.25, 1.25, 1.25, 1.0]))
    steps = refine(unet(input_stride=2), library, torch.randn(1, 1, *fine.array_shape), grid=fine.coarsened(2))
    assert len(steps) == 7 and np.isfinite(steps[-1].loss)


def test_checkpointing_refines_alike(library):
    volume, plain = torch.randn(1, 1, *GRID.array_shape), unet()
    saving = copy.deepcopy(plain)
    saving.checkpointing = True
    losses, expected = ([step.loss for step in refine(net, library, volume, iterations=2)] for net in (saving, plain))
    assert losses == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("parameters", "frozen"), [("all", False), ("decoder", True)])
def test_parameters_choose_what_adam_changes(library, copies, parameters, frozen):
    net = unet()
    steps = loop(net, library, iterations=2, parameters=parameters).run(torch.randn(1, 1, *GRID.array_shape))
    next(steps), next(steps)
    refined = copies[0]()
    assert torch.equal(refined.descent[0][0][0].weight, net.descent[0][0][0].weight) == frozen
    assert torch.equal(refined.bottom[1][0].weight, net.bottom[1][0].weight) == frozen
    for part in ("bottom.3.0", "joins.0.conv.0", "ascent.0.0.0", "ascent.1.1"):
        assert not torch.equal(refined.get_submodule(part).weight, net.get_submodule(part).weight), part


def test_closing_the_generator_frees_the_copy(body, library, copies):
    steps = loop(PaintedNet((body, 0.8)), library).run(VOLUME)
    next(steps), next(steps)
    assert copies[0]() is not None
    steps.close()
    assert copies[0]() is None
    assert list(steps) == []


def test_placed_points_stand_in_for_prediction_and_atlases(body, library):
    wrong = body.copy()
    wrong[0] += [0.0, 0.0, -15.0]  # the head, of the registration subset
    placed = {0: body[0], WRIST: body[WRIST] + [4.0, 0.0, 0.0]}
    net = PaintedNet((wrong, 0.8))
    free, held = refine(net, library, iterations=0)[0], refine(net, library, iterations=1, placed=placed)[1]
    assert held.residual[0] < 0.2 * free.residual[0]
    for landmark, point in placed.items():
        np.testing.assert_array_equal(held.points[landmark], point)
        np.testing.assert_array_equal(held.proxy[:, landmark], np.tile(point, (10, 1)))
        assert held.confidence[landmark] == 1
    np.testing.assert_allclose(np.delete(held.points, [0, WRIST], 0), np.delete(free.points, [0, WRIST], 0), atol=0.2)


def test_a_placed_point_is_what_the_detector_learns(body, library):
    """Where the person's point lies, the maps rise; where the detector had seen the landmark, they fall."""
    net = PaintedNet((body, 0.8))
    placed = {WRIST: GRID.to_world([12, 12, 12])}
    steps = loop(net, library, learning_rate=0.05, iterations=1, placed=placed)
    proxy = steps._proxy(*steps._support_set(*steps._pose(net.maps[0])), "cpu")
    np.testing.assert_allclose(decode(proxy)[0][WRIST], [12, 12, 12], atol=0.05)
    assert proxy[WRIST].max() == pytest.approx(1.0)


def test_a_trusted_landmark_holds_while_an_unsure_one_follows_the_atlases(body):
    """The library knows one body, whose wrists are elsewhere: only the wrist seen dimly is drawn to it."""
    atlas = body.copy()
    other = load_skeleton().index("right_wrist")
    atlas[[WRIST, other]] += [0.0, 6.0, 0.0]
    net = PaintedNet((body, 0.9))
    net.maps.data[0, WRIST] *= 0.2
    pose, confidence = body, np.where(np.arange(16) == WRIST, 0.2, 0.9)
    for trust, held in ((None, False), (0.5, True)):
        steps = loop(net, PoseLibrary([atlas]), hold_confidence=trust)
        aligned, _ = steps._support_set(pose, confidence)
        assert np.allclose(aligned[0, other], body[other]) == held
        assert np.linalg.norm(aligned[0, WRIST] - body[WRIST]) > 4


def test_weighting_by_residual_favours_the_best_atlas(body, library):
    """The proxy by hand, from the support set; the best of it is the body itself, so this proxy is the sharper one."""
    net = PaintedNet((body, 1.0))
    mean, weighted = (refine(net, library, iterations=0, k=30, weighting=w)[0] for w in ("mean", "residual"))
    maps = torch.stack([render(GRID.to_voxel(atlas), GRID.array_shape, SIGMA) for atlas in weighted.proxy])
    weights = torch.tensor(1 / np.maximum(weighted.residual, 1.0))
    proxy = torch.einsum("a,a...->...", weights / weights.sum(), maps.double()).float()
    assert weighted.loss == pytest.approx(heatmap_loss(net.maps[0], proxy).item(), rel=1e-4)
    assert weighted.loss < 0.8 * mean.loss


def test_similarity_fits_the_size_of_the_body(body):
    library = PoseLibrary([1.3 * body + 20])
    net = PaintedNet((body, 0.8))
    rigid, similar = (refine(net, library, iterations=0, similarity=s)[0].residual[0] for s in (False, True))
    assert similar < 0.5 < 20 < rigid


def test_zero_iterations_are_the_plain_detection(body, library):
    (only,) = refine(PaintedNet((body, 0.8)), library, iterations=0)
    np.testing.assert_allclose(only.points, body, atol=0.15)


def test_too_few_landmarks_seen_end_the_loop_after_the_detection(body, library):
    body[2:] = np.nan
    (only,) = refine(PaintedNet((body, 0.8)), library)
    assert only.loss is None and only.proxy.shape == (0, 16, 3) and only.residual.shape == (0,)
    np.testing.assert_allclose(only.points[:2], body[:2], atol=0.15)
    assert np.isnan(only.points[2:]).all()


@pytest.mark.parametrize(
    "bad",
    [
        {"parameters": "encoder"},
        {"weighting": "best"},
        {"k": 0},
        {"iterations": -1},
        {"normalisation": "batch"},
        {"placed": {0: [np.nan, 0, 0]}},
    ],
)
def test_bad_options_are_refused(body, library, bad):
    with pytest.raises(ValueError, match=next(iter(bad)).split("_")[0]):
        refine(PaintedNet((body, 0.8)), library, **bad)


def test_an_empty_library_is_refused(body):
    with pytest.raises(FetalPoseError, match="empty"):
        refine(PaintedNet((body, 0.8)), PoseLibrary(np.empty((0, 16, 3))))
