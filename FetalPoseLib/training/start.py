"""Weights to start from: the networks of a model that was trained before, bundled or one's own."""

from __future__ import annotations

from pathlib import Path

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.network.model_check import check_networks
from FetalPoseLib.network.unet import LandmarkNet
from FetalPoseLib.network.weights import open_model


def network_from(model: str | Path, task: str) -> LandmarkNet:
    """The network that a model has for ``task``, with its weights.

    Parameters
    ----------
    model : name of a bundled model, or the path of a safetensors file
    task : "locate", "orient", "detect" or "whole"

    Raises
    ------
    FetalPoseError
        There is no such model, its file is damaged, or it has no network for this task.
    """
    state, metadata = open_model(model)
    networks = check_networks(state, metadata, model)
    if task not in networks:
        raise FetalPoseError(
            f"The model {model} has no network for '{task}', but for {', '.join(networks) or 'nothing'}. "
            "Start from a model of the kind that you train."
        )
    net = LandmarkNet.from_config({"recurrence": 0, **networks[task]["network"]})
    own = {key.removeprefix(f"{task}."): value.float() for key, value in state.items() if key.startswith(f"{task}.")}
    net.load_state_dict(own, strict=False)  # `check_networks` has compared them
    return net
