"""From a volume to a pose: locate the fetus, detect its landmarks, refine them. What module and command line share.

The default model, ``fetal-frame``, has two passes: pass 1 finds the fetus's own frame in the whole volume
(`locator`), pass 2 looks closely at the fetus in that frame, twice, the second time in the frame that its own
landmarks give. Models of the kind ``single-pass`` are the paper's: one network over the whole volume. Refinement
follows either: by `consensus`, or the paper's own (section 2.2, `refinement`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from FetalPoseLib import __version__
from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.plausibility import CRL_RANGE, TRUNK_TO_CRL
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.detection.locate import coarse_frames, distinct, mean_body, read_frames
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.network.heatmaps import decode
from FetalPoseLib.network.precision import PRECISIONS, autocast, has_bfloat16
from FetalPoseLib.network.unet import LandmarkNet, set_normalisation
from FetalPoseLib.network.weights import open_model
from FetalPoseLib.refinement.consensus import Consensus, frame_of_look, heatmaps_turned
from FetalPoseLib.refinement.online_ssl import HOLDING, PAPER, Refinement
from FetalPoseLib.refinement.pose_reader import PoseReader
from FetalPoseLib.resources import resource_path
from FetalPoseLib.volume.grid import Grid, Volume, canonical_grid, grid_in_frame
from FetalPoseLib.volume.resampling import normalise_intensity, resample, sample

SMALLEST_SIDE = 30.0  # mm: a fetus of 10 weeks lies in a sac of about this width
READINGS = 3  # of the frame, that pass 2 may have to judge
SURE = 0.55  # mean confidence that no wrong reading reaches: at most 0.49 on validation, a right one at least 0.58
SEEN = 0.08  # confidence from which a landmark counts as seen
FOUND = 0.35  # mean confidence from which the volume counts as holding a fetus; noise reaches 0.3

#: By name: ours, which is the default; the paper's; and the paper's with what is detected with some confidence held.
#: ``method`` says which loop, the rest are its options: of `Refinement`, or whether peaks are chosen ``jointly`` and
#: how many further ``looks`` there are at the most. After the mirror image, more of them made nothing better.
REFINEMENTS: dict[str, dict] = {
    "consensus": {"method": "consensus", "jointly": True, "looks": 1},
    "paper": {"method": "ssl", **PAPER},
    "holding": {"method": "ssl", **HOLDING},
}


@dataclass(frozen=True, eq=False)
class Progress:
    """What is known so far: ``points`` (16, 3) RAS mm and ``confidence`` (16,), both None before the first pose."""

    stage: str
    iteration: int
    iterations: int
    points: np.ndarray | None
    confidence: np.ndarray | None
    message: str


@dataclass(frozen=True, eq=False)
class Estimate:
    """The result.

    Attributes
    ----------
    points, unrefined : (16, 3) RAS mm, NaN where a landmark is not seen
    confidence : (16,) in 0..1
    frame : the fetus's frame, None if its trunk is not seen
    provenance : model, its SHA-256, spacing, iterations, software version, device
    warnings : sentences for the user
    """

    points: np.ndarray
    confidence: np.ndarray
    unrefined: np.ndarray
    frame: FetalFrame | None
    provenance: dict[str, str]
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Network:
    """One trained network and how its input is made (see `training.tasks.Task.metadata`)."""

    net: LandmarkNet
    task: dict
    bfloat16: bool

    def heatmap_grid(self, grid: Grid) -> Grid:
        return grid.coarsened(self.net.input_stride)

    @torch.inference_mode()
    def heatmaps(self, image: torch.Tensor) -> torch.Tensor:
        with autocast(image.device, self.bfloat16):
            return self.net(image[None, None])[0].float()


@dataclass(frozen=True, eq=False)
class _View:
    """A network's look at the volume: its input on ``grid``, its heatmaps, and the pose read from them.

    ``frame`` is where it looked from, and ``source`` the whole volume; both None where it saw that itself.
    """

    image: torch.Tensor
    grid: Grid
    heatmaps: torch.Tensor
    points: np.ndarray
    confidence: np.ndarray
    frame: FetalFrame | None = None
    source: tuple[torch.Tensor, Grid] | None = None


class Estimator:
    """Opened once, used for many volumes.

    Parameters
    ----------
    model : a name in the manifest, or the path of a safetensors file that ``fetalpose train`` wrote.
    device : "auto", "cpu" or "cuda".
    library : atlases for refinement; the bundled ones if None.
    refinement : a name in `REFINEMENTS`, or options like those that stand there.
    precision : "float32", "bfloat16", or "auto": bfloat16 where the processor computes in it, a third of the time.

    Raises
    ------
    FetalPoseError
        for an unknown or damaged model, an unknown device or refinement, or CUDA where there is none.

    Example
    -------
    >>> estimate = Estimator().estimate(volume)
    >>> estimate.points.shape
    (16, 3)
    """

    def __init__(
        self,
        model: str | Path = "fetal-frame",
        device: str = "auto",
        library: PoseLibrary | None = None,
        refinement: str | Mapping = "consensus",
        precision: str = "auto",
    ):
        self.device = _device(device)
        bfloat16 = _bfloat16(precision, self.device)
        state, self.metadata = open_model(model)
        self.name = str(model)
        self.networks = {
            name: _build(name, state, about, self.device, bfloat16) for name, about in self.metadata["networks"].items()
        }
        self.library = PoseLibrary.load(resource_path("pose_library.npz")) if library is None else library
        self.template = mean_body(self.library.poses) if "locate" in self.networks else None
        self.refinement = refinement_options(refinement)

    def estimate(
        self,
        volume: Volume,
        *,
        iterations: int = 6,
        progress: Callable[[Progress], None] | None = None,
        fixed: Mapping[int, np.ndarray] | None = None,
        start: np.ndarray | None = None,
    ) -> Estimate:
        """Run to the end; ``progress`` is called with every `Progress`. Arguments and errors as for `run`."""
        steps = self.run(volume, iterations=iterations, fixed=fixed, start=start)
        while True:
            try:
                event = next(steps)
            except StopIteration as stop:
                return stop.value
            if progress is not None:
                progress(event)

    def run(
        self,
        volume: Volume,
        *,
        iterations: int = 6,
        fixed: Mapping[int, np.ndarray] | None = None,
        start: np.ndarray | None = None,
    ):
        """Yield `Progress` after every stage and iteration; the generator's value is the `Estimate`. Close it to
        cancel.

        Parameters
        ----------
        iterations : steps of refinement at the most (consensus takes one); 0 for the bare detection.
        fixed : landmark index (0-based) to (3,) RAS mm: points that a person has placed, which steer the refinement.
        start : (16, 3) RAS mm, a pose that a person has looked at; where its trunk is set, pass 1 is left out.

        Raises
        ------
        FetalPoseError
            The volume is too small, holds no picture, or nothing in it looks like a fetus.
        """
        steps = self._steps(iterations)
        yield Progress("locate", 0, steps, None, None, "Looking for the fetus")
        view = self._look(volume, None if start is None else _frame(start))
        unrefined = self._seen(view, view.points, view.confidence)
        points, confidence = view.points, view.confidence
        yield Progress("detect", 0, steps, unrefined, confidence, "First pose")
        if iterations:
            for step in self._refine(view, steps, dict(fixed or {})):
                points, confidence = step.points, step.confidence
                seen = self._seen(view, points, confidence)
                yield Progress("refine", step.iteration, steps, seen, confidence, f"Refinement {step.iteration}")
        points = self._seen(view, points, confidence)
        provenance, warnings = self._provenance(steps, bool(iterations)), _warnings(points, confidence)
        return Estimate(points, confidence, unrefined, _frame(points), provenance, warnings)

    @property
    def _main(self) -> _Network:
        """The network that marks the 16 landmarks."""
        return self.networks.get("detect") or self.networks["whole"]

    # looking

    def _look(self, volume: Volume, frame: FetalFrame | None = None) -> _View:
        """The finished view of the volume, in which its pose was read and may be refined; ``frame`` replaces pass 1."""
        main = self._main
        grid = _checked_grid(volume, main.task["spacing_mm"])
        image = normalise_intensity(resample(volume, grid, device=self.device))
        if "locate" not in self.networks:
            return self._view(main, image, grid)
        view = self._best_view([frame] if frame is not None else self._readings(image, grid), image, grid)
        better = _frame(view.points)
        return view if better is None else max(view, self._view_in(better, image, grid), key=_certainty)

    def _readings(self, image: torch.Tensor, grid: Grid) -> list[FetalFrame]:
        """Pass 1: where the fetus is in the whole volume, then how it is turned; likeliest first."""
        locate, orient = self.networks["locate"], self.networks["orient"]
        fine = Volume(image.cpu().numpy(), grid.affine)
        coarse = canonical_grid(fine, locate.task["spacing_mm"])
        heatmaps = locate.heatmaps(resample(fine, coarse, device=self.device)).cpu()
        readings = []
        for frame in coarse_frames(heatmaps, locate.heatmap_grid(coarse)):
            box = _box(frame, orient.task)
            closer = orient.heatmaps(sample(image, grid, box)).cpu()
            readings += read_frames(closer, orient.heatmap_grid(box), self.template)
        return [reading.frame for reading in distinct(readings, READINGS)]

    def _best_view(self, readings: list[FetalFrame], image: torch.Tensor, grid: Grid) -> _View:
        """The reading in which pass 2 recognises most; the others are not looked at once one leaves no doubt."""
        views = []
        for frame in readings:
            views.append(self._view_in(frame, image, grid))
            if _certainty(views[-1]) >= SURE:
                break
        return max(views, key=_certainty)

    def _view_in(self, frame: FetalFrame, image: torch.Tensor, grid: Grid) -> _View:
        detect = self.networks["detect"]
        box = _box(frame, detect.task)
        return self._view(detect, sample(image, grid, box), box, frame, (image, grid))

    def _view(self, network: _Network, image: torch.Tensor, grid: Grid, *origin) -> _View:
        heatmaps = network.heatmaps(image)
        points, confidence = decode(heatmaps.cpu())
        return _View(image, grid, heatmaps, network.heatmap_grid(grid).to_world(points), confidence, *origin)

    # refining

    def _steps(self, iterations: int) -> int:
        """How many of the iterations asked for the refinement takes after its first reading.

        A network that sees the whole volume has other mistakes in every orientation: there joining looks harmed the
        joint reading of one.
        """
        if self.refinement["method"] == "ssl":
            return iterations
        return min(iterations, self.refinement["looks"]) if "locate" in self.networks else 0

    def _refine(self, view: _View, steps: int, fixed: dict):
        network, options = self._main, dict(self.refinement)
        grid = network.heatmap_grid(view.grid)
        if options.pop("method") == "consensus":
            reader = PoseReader(self.library if options["jointly"] else None, sided=view.frame is not None)
            return Consensus(partial(self._look_again, view), grid, reader, steps, fixed).run(view.heatmaps)
        options = {"foreground": network.task.get("foreground", 0.0), "bfloat16": network.bfloat16, **options}
        loop = Refinement(network.net, self.library, grid=grid, sigma=network.task["sigma"], iterations=steps,
                          fixed=fixed, **options)  # fmt: skip
        return loop.run(view.image[None, None])

    def _look_again(self, view: _View, number: int) -> torch.Tensor:
        """The heatmaps of a further look, on the grid of the view's."""
        network, mirror = self._main, load_skeleton().mirror
        frame, turn = frame_of_look(_frame(view.points) or view.frame, number)
        box = _box(frame, network.task)
        found = heatmaps_turned(network.heatmaps, sample(*view.source, box), turn, mirror)
        there, here = network.heatmap_grid(box), network.heatmap_grid(view.grid)
        return torch.stack([sample(heatmap, there, here) for heatmap in found])

    # judging

    def _seen(self, view: _View, points: np.ndarray, confidence: np.ndarray) -> np.ndarray:
        """The points with those unset (NaN) that the network is not sure of or that lie outside what was scanned."""
        voxels = np.nan_to_num(np.round(view.grid.to_voxel(points)), nan=-1).astype(int)
        inside = ((voxels >= 0) & (voxels < view.grid.shape)).all(axis=1)
        x, y, z = np.clip(voxels, 0, np.array(view.grid.shape) - 1).T
        scanned = (view.image[z, y, x] != 0).cpu().numpy()  # exactly 0 is what lies outside the sector
        return np.where((inside & scanned & (confidence >= SEEN))[:, None], points, np.nan)

    def _provenance(self, steps: int, refined: bool) -> dict[str, str]:
        main = self._main
        return {
            "Model": self.name,
            "ModelSHA256": self.metadata["sha256"],
            "SpacingMm": f"{main.task['spacing_mm']:g}",
            "Iterations": str(steps if refined else 0),
            "Refinement": _name_of(self.refinement) if refined else "none",
            "Version": __version__,
            "Device": str(self.device),
            "Precision": "bfloat16" if main.bfloat16 else "float32",
        }


def refinement_options(refinement: str | Mapping) -> dict:
    """The options that a name stands for, or those given; FetalPoseError if there is no such name or method."""
    if isinstance(refinement, str) and refinement not in REFINEMENTS:
        raise FetalPoseError(f"There is no refinement '{refinement}'. Choose one of {', '.join(REFINEMENTS)}.")
    options = {"method": "ssl", **(REFINEMENTS[refinement] if isinstance(refinement, str) else refinement)}
    if options["method"] == "consensus":
        options = {**REFINEMENTS["consensus"], **options}
    if options["method"] not in ("consensus", "ssl"):
        raise FetalPoseError(f"There is no method '{options['method']}' of refinement. Choose consensus or ssl.")
    return options


def _name_of(options: dict) -> str:
    """As the pose's file shall tell it: a name, with K if that was chosen, or the options in full."""
    rest = {key: value for key, value in options.items() if key != "k"}
    name = next((name for name, those in REFINEMENTS.items() if those == rest), str(rest))
    return f"{name}, K = {options['k']}" if "k" in options else name


def _device(name: str) -> torch.device:
    if name not in ("auto", "cpu", "cuda"):
        raise FetalPoseError(f"There is no device '{name}'. Choose auto, cpu or cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise FetalPoseError("CUDA was asked for, but there is no GPU that PyTorch can use here. Choose auto or cpu.")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def _bfloat16(precision: str, device: torch.device) -> bool:
    if precision not in PRECISIONS:
        raise FetalPoseError(f"There is no precision '{precision}'. Choose one of {', '.join(PRECISIONS)}.")
    return precision == "bfloat16" or (precision == "auto" and has_bfloat16(device))


def _build(name: str, state: dict, about: dict, device: torch.device, bfloat16: bool) -> _Network:
    """One of a model's networks, from the part of the state whose keys begin with its name."""
    net = LandmarkNet.from_config(about["network"])
    prefix = f"{name}."
    own = {key.removeprefix(prefix): value.float() for key, value in state.items() if key.startswith(prefix)}
    net.load_state_dict(own)
    set_normalisation(net, about["task"].get("normalisation", "volume"))
    return _Network(net.eval().to(device, memory_format=torch.channels_last_3d), about["task"], bfloat16)


def _certainty(view: _View) -> float:
    return float(view.confidence.mean())


def _box(frame: FetalFrame, task: dict) -> Grid:
    return grid_in_frame(frame, task["lower"], task["upper"], task["voxels_per_size"])


def _checked_grid(volume: Volume, spacing: float) -> Grid:
    grid = canonical_grid(volume, spacing)
    extent = np.array(grid.shape) * spacing
    if extent.min() < SMALLEST_SIDE:
        size = " x ".join(f"{side:.3g}" for side in extent)
        raise FetalPoseError(
            f"The volume measures {size} mm, and a fetus needs {SMALLEST_SIDE:g} mm on every side. "
            f"Correct its spacing, now {np.round(volume.grid.spacing, 4).tolist()} mm, or choose a larger volume."
        )
    return grid


def _frame(points: np.ndarray) -> FetalFrame | None:
    try:
        return FetalFrame.from_landmarks(points)
    except FetalPoseError:
        return None


def _warnings(points: np.ndarray, confidence: np.ndarray) -> list[str]:
    found = []
    if confidence.mean() < FOUND:
        found.append(
            f"This volume may hold no fetus: the mean confidence of its landmarks is {confidence.mean():.2f}, "
            f"where {FOUND:g} and more is usual. Do not use these numbers."
        )
        return found
    if confidence.mean() < SURE:
        found.append(
            f"The model is unsure of this pose: the mean confidence is {confidence.mean():.2f}, where {SURE:g} and "
            "more is usual. Is the whole fetus in the volume? Check every landmark."
        )
    frame = _frame(points)
    crl = np.nan if frame is None else frame.size / TRUNK_TO_CRL
    if frame is None:
        found.append("The trunk is not fully seen, so the size of the fetus is unknown.")
    elif not CRL_RANGE[0] <= crl <= CRL_RANGE[1]:
        found.append(
            f"The crown-rump length is about {crl:.0f} mm, outside the {CRL_RANGE[0]:.0f} to {CRL_RANGE[1]:.0f} mm of "
            "10 to 14 weeks that the model was trained on. Check the volume's spacing."
        )
    return found
