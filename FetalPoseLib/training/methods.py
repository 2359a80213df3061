"""The methods that are compared: each goes on from the same trained detector, for the same number of steps.

``land`` goes on as before (the paper's Land), ``rnn`` and ``gan`` are the paper's rivals, ``pair`` is FetusMapV2's
idea. The paper's own, SSL, needs no training: it refines ``land`` while testing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.network.losses import pair_loss
from FetalPoseLib.network.unet import LandmarkNet
from FetalPoseLib.training.adversarial import AdversarialTrainer
from FetalPoseLib.training.detector import Trainer
from FetalPoseLib.training.kept import read_state
from FetalPoseLib.training.options import METHODS

MOST_SIDE = 4.0  # weight of the error of side in the end


class PairTrainer(Trainer):
    """`Trainer` with the pair loss; the error of side weighs more and more, from 1, which is L2, to `MOST_SIDE`."""

    def _loss(self, prediction, target, image):
        side = 1 + (MOST_SIDE - 1) * self.step / self.recipe.steps
        pairs = load_skeleton().symmetric_pairs
        return pair_loss(prediction, target, pairs, side=side, foreground=self.recipe.foreground)


@dataclass(frozen=True)
class Method:
    """How to train, and what is added to the network."""

    trainer: type[Trainer] = Trainer
    recurrence: int = 0


_ALL = (Method(), Method(recurrence=8), Method(AdversarialTrainer), Method(PairTrainer))
METHOD_NAMED = dict(zip(METHODS, _ALL, strict=True))


def begin_with(net: LandmarkNet, path: Path) -> None:
    """Give ``net`` the weights that the training with the state file ``path`` has reached; an RNN begins afresh.

    FetalPoseError if there is no such training, or of another network.
    """
    try:
        state = read_state(path)
    except FileNotFoundError as error:
        raise FetalPoseError(
            f"There is no trained detector to go on from in {path.parent}. "
            "Train it first, with the same options and without a method."
        ) from error
    if {**state["config"], "recurrence": net.recurrence} != net.config():
        raise FetalPoseError(f"{path} holds a network of {state['config']}, not of {net.config()}. Use its options.")
    net.load_state_dict(state["net"], strict=net.recurrence == 0)
