"""A model's header and tensors, checked before a network is built from them: types, ranges, names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError, listed
from FetalPoseLib.network.unet import LandmarkNet

CHANNELS = {"locate": 5, "orient": 5, "detect": len(load_skeleton()), "whole": len(load_skeleton())}  # heatmaps
MODELS = ({"locate", "orient", "detect"}, {"whole"})  # the networks that make a model
#: Of a network's parameters, least and most; beyond them lies no network that a computer can hold.
RANGES = {
    "in_channels": (1, 1),
    "out_channels": (1, 64),
    "width": (1, 256),
    "input_stride": (1, 2),
    "levels": (1, 6),
    "max_channels": (1, 2048),
    "recurrence": (0, 256),
}
COUNTER = "num_batches_tracked"  # of batch norm; nothing depends on it


def check_networks(state: Mapping[str, torch.Tensor], metadata: Mapping, source: str | Path) -> dict[str, dict]:
    """The headers of a model's networks by name, if state and header make networks that can be built.

    Raises
    ------
    FetalPoseError
        ``source`` is no FetalPose model, a parameter is of another type or out of range, or tensors are missing, too
        many, of another shape or not finite.
    """
    networks = metadata.get("networks")
    if not isinstance(networks, dict) or not networks or not set(networks) <= set(CHANNELS):
        raise FetalPoseError(
            f"{source} is not a FetalPose model: its header names no networks. "
            "Give a file that 'fetalpose train' wrote."
        )
    for name, header in networks.items():
        config = header.get("network") if isinstance(header, dict) else None
        if not isinstance(config, dict):
            raise _unusable(source, name, "its header does not describe the network")
        _check_config(config, source, name)
        if config.get("out_channels", CHANNELS[name]) != CHANNELS[name]:
            raise _unusable(source, name, f"it has {config['out_channels']} heatmaps, and needs {CHANNELS[name]}")
        _check_tensors(state, {"recurrence": 0, **config}, source, name)
    return networks


def _check_config(config: dict, source: str | Path, name: str) -> None:
    unknown = [key for key in config if key not in RANGES]
    if unknown:
        raise _unusable(source, name, f"its header has entries that are not known: {listed(unknown)}")
    for key, value in config.items():
        low, high = RANGES[key]
        if type(value) is not int or not low <= value <= high:
            raise _unusable(source, name, f"{key} is {listed([value])}, and must be {low} to {high}")


def _check_tensors(state: Mapping[str, torch.Tensor], config: dict, source: str | Path, name: str) -> None:
    with torch.device("meta"):  # shapes without memory
        expected = LandmarkNet.from_config(config).state_dict()
    prefix = f"{name}."
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    missing = [key for key in expected if key not in own and not key.endswith(COUNTER)]
    unknown = [key for key in own if key not in expected]
    if missing or unknown:
        what = f"tensors are missing: {listed(missing)}" if missing else f"tensors are not known: {listed(unknown)}"
        raise _unusable(source, name, what)
    other = [key for key, value in own.items() if value.shape != expected[key].shape]
    if other:
        raise _unusable(source, name, f"tensors have other shapes than the network: {listed(other)}")
    damaged = [key for key, value in own.items() if value.is_floating_point() and not value.isfinite().all()]
    if damaged:
        raise _unusable(source, name, f"weights are not finite: {listed(damaged)}")


def _unusable(source: str | Path, name: str, why: str) -> FetalPoseError:
    return FetalPoseError(f"The network '{name}' of {source} cannot be built: {why}. Export the model again.")
