"""The settings of the page: the same as those of the module's panel, as state of the page and as one frozen value."""

from __future__ import annotations

import json
from dataclasses import replace

from trame_server import Server

from FetalPoseLib.refinement.options import REFINEMENTS, EstimateOptions
from FetalPoseLib.resources import resource_path
from FetalPoseLib.session import Settings, Signal

OWN_SPACING = "the model's own"
SPACINGS = (OWN_SPACING, "1.0", "1.25", "1.5", "2.0")
DEFAULTS = EstimateOptions()
NAMES = ("model", "refinement", "iterations", "neighbours", "spacing", "mirrored", "lengths", "names", "device")


class Choices:
    """What is chosen in the page's settings; `changed` tells of each new value.

    Parameters
    ----------
    server : Server
    library_folder : of the person's own pose library, "" where the server offers none.
    device : where the network runs at first.
    """

    def __init__(self, server: Server, library_folder: str = "", device: str = DEFAULTS.device):
        self.state, self.library_folder = server.state, library_folder
        self.changed: Signal[Settings] = Signal()
        self._devices = {"auto", device}
        self._models = list(json.loads(resource_path("models", "manifest.json").read_text(encoding="utf-8")))
        self.state.update(
            {
                "set_model": DEFAULTS.model, "set_refinement": DEFAULTS.refinement,
                "set_iterations": DEFAULTS.iterations, "set_neighbours": DEFAULTS.k, "set_spacing": OWN_SPACING,
                "set_mirrored": False, "set_lengths": True, "set_names": False, "set_device": device,
                "models": self._models, "refinements": list(REFINEMENTS), "spacings": list(SPACINGS),
                "devices": [{"title": "Automatic", "value": "auto"}],
            }
        )  # fmt: skip
        self.state.change(*(f"set_{name}" for name in NAMES))(lambda **_: self.changed.emit(self.settings))

    @property
    def settings(self) -> Settings:
        """All that is chosen, as one value for the session. A number out of its range counts as the nearest one."""
        state = self.state
        options = replace(
            DEFAULTS,
            model=state.set_model if state.set_model in self._models else DEFAULTS.model,
            refinement=state.set_refinement if state.set_refinement in REFINEMENTS else DEFAULTS.refinement,
            iterations=_within(state.set_iterations, 0, 50, DEFAULTS.iterations),
            k=_within(state.set_neighbours, 1, 100, DEFAULTS.k),
            spacing_mm=float(state.set_spacing) if state.set_spacing in SPACINGS[1:] else None,
            device=state.set_device if state.set_device in self._devices else DEFAULTS.device,
        )
        return Settings(
            options,
            mirrored=bool(state.set_mirrored),
            show_lengths=bool(state.set_lengths),
            show_names=bool(state.set_names),
            library_folder=self.library_folder,
        )

    def show_devices(self, devices) -> None:
        """Offer these devices of the network's process."""
        items = [{"title": "Automatic", "value": "auto"}]
        for device in devices:
            self._devices.add(device.device)
            memory = "" if device.free_bytes is None else f", {device.free_bytes / 1e9:.1f} GB free"
            items.append({"title": f"{device.name}{memory}", "value": device.device})
        with self.state:
            self.state.devices = items


def _within(value, low: int, high: int, default: int) -> int:
    try:
        return min(max(int(value), low), high)
    except (TypeError, ValueError):
        return default
