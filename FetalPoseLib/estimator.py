"""From a volume to a pose: detect, refine, judge. What module, command line and worker share.

`detection` finds the fetus and its 16 landmarks, `refinement` improves them by consensus or by the paper's own way
(section 2.2), and `body.plausibility` says what to doubt.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

from FetalPoseLib import __version__
from FetalPoseLib.body.estimate import Estimate, Progress
from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.plausibility import holds_fetus, warnings_of
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.second_head import second_head_warning
from FetalPoseLib.body.uncertainty import Uncertainty
from FetalPoseLib.detection.detector import INVERTED, Detector, TrainedNetwork
from FetalPoseLib.detection.locate import mean_body
from FetalPoseLib.detection.search import search_progress
from FetalPoseLib.detection.view import View
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.network.device import device_named
from FetalPoseLib.network.model_check import MODELS, check_networks
from FetalPoseLib.network.precision import uses_bfloat16
from FetalPoseLib.network.weights import open_model
from FetalPoseLib.refinement.consensus import Agreement, Consensus, further_view
from FetalPoseLib.refinement.online_ssl import OnlineSsl, Step
from FetalPoseLib.refinement.options import (
    ConsensusOptions,
    EstimateOptions,
    RefinementOptions,
    describe,
    refinement_named,
)
from FetalPoseLib.refinement.pose_reader import PoseReader
from FetalPoseLib.resources import resource_path
from FetalPoseLib.tracking.follower import Follower, Seen
from FetalPoseLib.tracking.observation import Frames
from FetalPoseLib.tracking.options import FollowOptions
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.probe_volume import ProbeVolume

Pose = tuple[np.ndarray, np.ndarray]  # points (16, 3) RAS mm, confidence (16,)


class Estimator:
    """Opened once, used for many volumes.

    Parameters
    ----------
    model : a name in the manifest, or the path of a safetensors file that ``fetalpose train`` wrote.
    device : "auto", "cpu" or "cuda".
    library : atlases for refinement; the bundled ones if None.
    refinement : a name in `options.REFINEMENTS`, or options.
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
        model: str | Path = EstimateOptions.model,
        device: str = EstimateOptions.device,
        library: PoseLibrary | None = None,
        refinement: str | RefinementOptions = EstimateOptions.refinement,
        precision: str = "auto",
    ):
        self.device = torch.device(device_named(device))
        bfloat16 = uses_bfloat16(precision, self.device)
        state, self.metadata = open_model(model)
        self.name = str(model)
        self.library = PoseLibrary.load(resource_path("pose_library.npz")) if library is None else library
        networks = {
            name: TrainedNetwork.build(name, state, header, self.device, bfloat16)
            for name, header in check_networks(state, self.metadata, model).items()
        }
        if set(networks) not in MODELS:
            raise FetalPoseError(
                f"{model} has the networks {', '.join(networks)}. A model has locate, orient and detect, or whole only."
            )
        template = mean_body(self.library.poses) if "locate" in networks else None
        self.detector = Detector(networks, self.device, template)
        self.refinement = _options(refinement)
        self.uncertainty = Uncertainty.of_model(self.metadata)

    @classmethod
    def from_options(cls, options: EstimateOptions) -> Estimator:
        """The estimator that the options describe; their iterations are for `estimate`.

        Raises
        ------
        FetalPoseError
            As the constructor and `for_options`.
        """
        return cls(options.model, options.device).for_options(options)

    @property
    def spacing_mm(self) -> float:
        """Spacing of the network's input."""
        return self.detector.main.spec.spacing_mm

    @property
    def own_spacing_mm(self) -> float:
        """Spacing at which the model works if none is chosen."""
        return self.metadata["networks"][self.detector.main.spec.task]["task"]["spacing_mm"]

    @property
    def spacings_mm(self) -> list[float]:
        """All spacings that the model allows, the finest first."""
        others = self.metadata.get("spacings_mm", [])
        others = [mm for mm in others if isinstance(mm, int | float)] if isinstance(others, list) else []
        return sorted({self.own_spacing_mm, *others})

    def with_options(
        self,
        *,
        refinement: str | RefinementOptions | None = None,
        library: PoseLibrary | None = None,
        spacing_mm: float | None = None,
        checkpointing: bool = False,
        name: str | None = None,
    ) -> Estimator:
        """The same networks with other options; this estimator stays as it is.

        Parameters
        ----------
        refinement, library : as this estimator's if None
        spacing_mm : of the network's input, one of `spacings_mm`; FetalPoseError if it is none of them
        checkpointing : of gradients, which takes less memory and more time in the paper's refinement
        name : of the model in the provenance
        """
        if spacing_mm is not None and spacing_mm not in self.spacings_mm:
            allowed = " or ".join(f"{allowed:g}" for allowed in self.spacings_mm)
            raise FetalPoseError(f"The model {self.name} works at {allowed} mm, not at {spacing_mm:g} mm.")
        other = copy.copy(self)
        other.detector = self.detector.with_main(spacing_mm=spacing_mm, checkpointing=checkpointing)
        other.refinement = self.refinement if refinement is None else _options(refinement)
        other.library = self.library if library is None else library
        other.uncertainty = self.uncertainty if other.spacing_mm == self.spacing_mm else None
        other.name = self.name if name is None else name
        return other

    def for_options(
        self, options: EstimateOptions, *, checkpointing: bool = False, name: str | None = None
    ) -> Estimator:
        """The same networks with the refinement, the spacing and the atlases beside the own ones that the options name.

        Their model and device are those that this estimator was opened with. The rest is as of `with_options`.

        Raises
        ------
        FetalPoseError
            There is no such refinement, the model does not work at that spacing, or a library cannot be read.
        """
        own = [PoseLibrary.load(path) for path in options.libraries]
        return self.with_options(
            refinement=refinement_named(options.refinement, k=options.k),
            library=self.library.joined(own) if own else None,
            spacing_mm=options.spacing_mm,
            checkpointing=checkpointing,
            name=name,
        )

    def estimate(
        self,
        volume: Volume | ProbeVolume,
        *,
        iterations: int = EstimateOptions.iterations,
        progress: Callable[[Progress], None] | None = None,
        placed: Mapping[int, np.ndarray] | None = None,
        start: np.ndarray | None = None,
    ) -> Estimate:
        """Run to the end; ``progress`` is called with every `Progress`. Arguments and errors as for `run`."""
        for event in self.run(volume, iterations=iterations, placed=placed, start=start):
            if isinstance(event, Estimate):
                return event
            if progress is not None:
                progress(event)
        raise AssertionError("a run ends with its estimate")

    def run(
        self,
        volume: Volume | ProbeVolume,
        *,
        iterations: int = EstimateOptions.iterations,
        placed: Mapping[int, np.ndarray] | None = None,
        start: np.ndarray | None = None,
    ) -> Iterator[Progress | Estimate]:
        """Yield `Progress` after every stage and iteration, and at last the `Estimate`. Close it to cancel.

        Parameters
        ----------
        iterations : steps of refinement at most; consensus takes at most ``views`` of them; 0 for the bare detection.
        placed : landmark index (0-based) to (3,) RAS mm: points that a person has placed, which steer the refinement.
        start : (16, 3) RAS mm, a pose that a person has looked at; where its trunk is set, pass 1 is left out.

        Raises
        ------
        FetalPoseError
            The volume is too small, holds no picture, or nothing in it looks like a fetus.
        """
        steps = self._steps(iterations)
        yield Progress("locate", 0, steps, None, None, "Looking for the fetus")
        looking = self.detector.look(volume, None if start is None else FetalFrame.find(start))
        view = yield from search_progress(looking, steps)
        points, confidence = yield from self._read(view, iterations, steps, dict(placed or {}))
        if self._doubts(view, confidence):
            other = yield from search_progress(self.detector.search_beyond(view), steps)
            if other is not None:
                found = yield from self._read(other, iterations, steps, dict(placed or {}))
                if found[1].mean() > confidence.mean():
                    view, (points, confidence) = other, found
        unrefined = view.visible(view.points, view.confidence)
        points = view.visible(points, confidence)
        provenance = self._provenance(steps, refined=bool(iterations))
        two_passes = self.detector.two_passes
        warnings = [INVERTED] * view.inverted + warnings_of(points, confidence, two_passes=two_passes)
        warnings += filter(None, [second_head_warning(view.heads, points)])
        radius, intervals, known = None, None, self.uncertainty
        if known is not None and known.refinement == provenance["Refinement"]:
            radius, intervals = known.radii_and_intervals(points, confidence, placed or {})
        yield Estimate(
            points, confidence, unrefined, provenance, warnings, radius_mm=radius, length_interval_mm=intervals,
            holds_fetus=holds_fetus(confidence, two_passes=two_passes),
        )  # fmt: skip

    def follow(
        self, frames: Frames, options: FollowOptions | None = None, *, start: dict[int, np.ndarray] | None = None
    ) -> Iterator[Seen]:
        """Yield what is seen in each volume of a sequence, for `tracking.joining.join`. Close it to cancel.

        Parameters
        ----------
        start : as of `tracking.follower.Follower.run`

        Raises
        ------
        FetalPoseError
            The model sees the whole volume at once and cannot follow.
        """
        return Follower(self.detector, PoseReader(self.library), options).run(frames, start)

    @property
    def track_provenance(self) -> dict[str, str]:
        """What a track tells of its origin."""
        return self._provenance(0, refined=False) | {"Refinement": "followed over time"}

    def _read(self, view: View, iterations: int, steps: int, placed: dict) -> Generator[Progress, None, Pose]:
        """Refine what a view shows; the generator's value is the pose (16, 3) and its confidence (16,)."""
        fetus = partial(holds_fetus, two_passes=self.detector.two_passes)
        points, confidence = view.points, view.confidence
        visible = view.visible(points, confidence)
        yield Progress("detect", 0, steps, visible, confidence, "First pose", fetus(confidence))
        if iterations:
            for step in self._refine(view, steps, placed):
                points, confidence = step.points, step.confidence
                visible, message = view.visible(points, confidence), f"Refinement {step.iteration}"
                yield Progress("refine", step.iteration, steps, visible, confidence, message, fetus(confidence))
        return points, confidence

    def _doubts(self, view: View, confidence: np.ndarray) -> bool:
        """Whether the joint reading leaves a doubt in a frame that was found without a search.

        Only consensus judges a frame: it reads the mirror image as well and asks whether the landmarks fit together.
        """
        judges = isinstance(self.refinement, ConsensusOptions) and self.detector.two_passes
        return judges and view.unsearched and float(confidence.mean()) < self.detector.search.doubt

    def _steps(self, iterations: int) -> int:
        """How many of the iterations asked for the refinement takes after its first reading.

        A network that sees the whole volume has other mistakes in every orientation: there joining views harmed the
        joint reading of one.
        """
        if isinstance(self.refinement, ConsensusOptions):
            return min(iterations, self.refinement.views) if self.detector.two_passes else 0
        return iterations

    def _refine(self, view: View, steps: int, placed: dict) -> Iterator[Agreement | Step]:
        network, options = self.detector.main, self.refinement
        grid = network.heatmap_grid(view.grid)
        if isinstance(options, ConsensusOptions):
            reader = PoseReader(self.library if options.jointly else None, sided=view.frame is not None)
            heatmaps_of = partial(further_view, self.detector, view)
            return Consensus(heatmaps_of, grid, reader, steps, placed).run(view.heatmaps)
        loop = OnlineSsl(
            network.net, self.library, grid=grid, spec=network.spec, options=options, iterations=steps,
            bfloat16=network.bfloat16, placed=placed,
        )  # fmt: skip
        return loop.run(view.image[None, None])

    def _provenance(self, steps: int, *, refined: bool) -> dict[str, str]:
        return {
            "Model": self.name,
            "ModelSHA256": self.metadata["sha256"],
            "SpacingMm": f"{self.spacing_mm:g}",
            "Iterations": str(steps if refined else 0),
            "Refinement": describe(self.refinement) if refined else "none",
            "Version": __version__,
            "Device": str(self.device),
            "Precision": "bfloat16" if self.detector.main.bfloat16 else "float32",
        }


def _options(refinement: str | RefinementOptions) -> RefinementOptions:
    return refinement_named(refinement) if isinstance(refinement, str) else refinement
