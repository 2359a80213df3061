"""The trainer: steps can be resumed, networks learn, rivals begin and differ, and their files open."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from training_cases import SKELETON, network, trainer

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.estimator import Estimator
from FetalPoseLib.network.weights import open_model
from FetalPoseLib.training.adversarial import AdversarialTrainer
from FetalPoseLib.training.detector import Trainer
from FetalPoseLib.training.export import export_model
from FetalPoseLib.training.methods import METHOD_NAMED, PairTrainer, begin_with
from FetalPoseLib.training.pool import Pool
from FetalPoseLib.training.recipes import COMPARED, SHIPPED, Recipe
from FetalPoseLib.training.tasks import make_task
from FetalPoseLib.volume.grid import Volume

# --- the trainer


def parts(learner) -> dict:
    """The networks of a training."""
    more = {"discriminator": learner.discriminator} if isinstance(learner, AdversarialTrainer) else {}
    return {"net": learner.net, "average": learner.average.module, **more}


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
    assert parts(second).keys() == parts(through).keys()
    for part, one in parts(through).items():
        for key, value in one.state_dict().items():
            assert torch.equal(value, parts(second)[part].state_dict()[key]), (part, key)


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_averages_follow_their_formula_from_the_first_step_and_after_resuming(pool, tmp_path, averaging):
    """Begin with the net's weights; decay `averaging`, but at first (1 + step) / (10 + step); counts are copied."""
    recipe = replace(SHIPPED, steps=6, warmup=2, averaging=averaging, bfloat16=False)
    learner = trainer(pool, tmp_path / "run", recipe)
    expected = {key: value.clone() for key, value in learner.net.state_dict().items()}
    while learner.step < 6:
        learner.stopped = False
        one = learner._one_step

        def stop_after_it(learner=learner, one=one):
            learner.stopped = True
            return one()

        learner._one_step = stop_after_it
        keep = min(averaging, (1 + learner.step) / (10 + learner.step))
        learner.run(progress=False)
        for key, value in learner.net.state_dict().items():
            mixed = keep * expected[key] + (1 - keep) * value
            expected[key] = mixed if value.dtype.is_floating_point else value.clone()
        state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
        assert state["average"].keys() == state["net"].keys(), "as states have always been"
        for key, value in state["average"].items():
            torch.testing.assert_close(value, expected[key], msg=f"{key} after step {learner.step}")
        learner = trainer(Pool(pool.folder), tmp_path / "run", recipe)
        assert learner.resume()


def test_a_training_is_not_resumed_as_another(pool, tmp_path):
    trainer(pool, tmp_path / "run", Recipe(steps=1)).run(progress=False)
    with pytest.raises(FetalPoseError, match="trained as detect at 2 mm.*'width': 4.*'width': 8.*another folder"):
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


@pytest.mark.parametrize("method", METHOD_NAMED)
def test_a_method_begins_with_what_the_detector_says(pool, tmp_path, method):
    trained = trainer(pool, tmp_path / "whole", Recipe(steps=2))
    trained.run(progress=False)
    torch.manual_seed(9)
    net = network(recurrence=METHOD_NAMED[method].recurrence)
    image = torch.rand(1, 1, 16, 16, 16)
    assert not torch.allclose(net.eval()(image), trained.net.eval()(image))
    begin_with(net, tmp_path / "whole" / "state.pt")
    torch.testing.assert_close(net.eval()(image), trained.net.eval()(image))
    going_on = trainer(pool, tmp_path / method, Recipe(steps=1), kind=METHOD_NAMED[method].trainer, net=net)
    torch.testing.assert_close(going_on.average.eval()(image), trained.net(image), msg="the mean begins there, too")
    going_on.run(progress=False)
    assert not torch.allclose(going_on.net.eval()(image), trained.net(image))
    again = network(recurrence=METHOD_NAMED[method].recurrence)
    resumed = trainer(pool, tmp_path / method, Recipe(steps=1), kind=METHOD_NAMED[method].trainer, net=again)
    assert resumed.resume() and resumed.step == 1


@pytest.mark.parametrize("recurrence", [0, 2])
def test_a_method_begins_with_nothing_else(pool, tmp_path, recurrence):
    with pytest.raises(FetalPoseError, match="no trained detector to go on from in .*nowhere.*without a method"):
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
    for key, value in learner.average.module.state_dict().items():
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
