"""The process that runs the network: `python -m FetalPoseLib.worker`. `worker_client` is its other end.

Requests come in on standard input and events go out on standard output, each as one line of JSON. A request has a
number ("request"), what to "do" ("estimate", "warm_up" or "devices") and arguments, as in `WorkerClient`, where the
events are described, too. The process ends when its input closes: in no case does it outlive its owner. To cancel, end
it.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import json
import os
import platform
import queue
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.worker.client import points_of_rows, rows_of_points

MAIN = ("detect", "whole")  # the networks that mark the 16 landmarks, one in a model


def main() -> None:
    """Serve until standard input closes."""
    tell = Voice()
    requests: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, requests), daemon=True).start()
    tell("hello", None, pid=os.getpid())
    server = Server(tell)
    while True:
        server.serve(requests.get())


def _listen(stream, requests: queue.SimpleQueue) -> None:
    """Queue the lines that come in. At their end the owner has gone, and whatever is being computed is for nobody."""
    for line in stream:
        requests.put(line)
    os._exit(0)


class Voice:
    """Standard output, for events alone: what libraries print goes to standard error from now on."""

    def __init__(self):
        sys.stdout.flush()
        self._stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def __call__(self, kind: str, request: int | None, **data) -> None:
        """Say one event; `data` is what JSON holds."""
        self._stream.write(json.dumps({"kind": kind, "request": request, **data}, allow_nan=False) + "\n")
        self._stream.flush()


class Server:
    """Answers requests one after the other; keeps the model open that was used last."""

    def __init__(self, tell):
        self.tell = tell
        self._key, self._estimator = None, None

    def serve(self, line: bytes) -> None:
        """Answer one line. An error is an answer, too, and leaves the process ready for the next."""
        number = None
        try:
            request = json.loads(line)
            number = request.get("request")
            answers = {"estimate": self.estimate, "warm_up": self.open, "devices": self.devices}
            answers[request["do"]](number, request)
        except Exception as error:
            message, user = _in_words(error)
            self.tell("failed", number, message=message, user=user, stderr="" if user else traceback.format_exc())

    def devices(self, number: int, _request: dict) -> None:
        self.tell("done", number, devices=list(_devices()))

    def open(self, number: int, request: dict):
        """The `Estimator`, kept from the last request where that was for the same; says "ready"."""
        model, device = request["model"], request["device"]
        key = (model, device, os.stat(model).st_mtime_ns if os.path.isfile(model) else None)
        if self._key != key:
            self._key, self._estimator = None, None  # there may be no memory for two
            self._progress(number, request, "open", "Starting the network")
            from FetalPoseLib.estimator import Estimator

            self._key, self._estimator = key, Estimator(model, device)
        kind = self._estimator.device.type
        self.tell("ready", number, model=model, device=kind, device_name=_device_name(kind))
        return self._estimator

    def estimate(self, number: int, request: dict) -> None:
        from FetalPoseLib.volume.grid import Volume

        path = Path(request["volume"])
        volume = Volume(np.load(path, allow_pickle=False), request["ijk_to_ras"])
        path.unlink(missing_ok=True)  # a copy of a patient's volume should live no longer than it must
        warnings = []
        for attempt, change in self._attempts(request):
            if change:
                warnings.append(f"The GPU's memory was not enough: continued {change}.")
                self._progress(number, attempt, "open", warnings[-1])
            try:
                return self._attempt(number, attempt, volume, warnings)
            except Exception as error:
                if not _gpu_is_full(error):
                    raise
            _free_gpu()  # out here, where the error no longer holds what was being computed

    def _attempts(self, request: dict) -> Iterator[tuple[dict, str]]:
        """The request as it is; then with less and less of the GPU's memory, at last without it, and the change."""
        yield request, ""
        thrifty = {**request, "checkpointing": True}
        yield thrifty, "with gradient checkpointing, which takes longer"
        if self._estimator is not None:
            now = request["spacing"] or _spacing(self._estimator)
            for spacing in (spacing for spacing in _spacings(self._estimator) if spacing > now):
                yield {**thrifty, "spacing": spacing}, f"with coarser voxels, {spacing:g} mm"
        yield {**request, "device": "cpu"}, "on the CPU, which takes longer"

    def _attempt(self, number: int, request: dict, volume, warnings: list[str]) -> None:
        estimator = _arranged(self.open(number, request), request)
        fixed = {int(landmark): np.array(point) for landmark, point in request["fixed"].items()}
        start = None if request["start"] is None else points_of_rows(request["start"])
        run = estimator.run(volume, iterations=request["iterations"], fixed=fixed, start=start)
        clock = Clock()
        with contextlib.closing(run) as steps:
            while True:
                try:
                    step = next(steps)
                except StopIteration as stop:
                    result = stop.value
                    break
                known = _known(step.points, step.confidence, fixed)
                known |= {"seconds_left": clock.seconds_left(step), "iterations": step.iterations}
                self._progress(number, request, step.stage, step.message, step.iteration, **known)
        self.tell(
            "done", number, **_known(result.points, result.confidence, fixed),
            unrefined=rows_of_points(result.unrefined), provenance=result.provenance,
            warnings=[*result.warnings, *warnings],
        )  # fmt: skip

    def _progress(self, number: int, request: dict, stage: str, message: str, iteration: int = 0, **known) -> None:
        nothing = {"points": None, "confidence": None, "seconds_left": None, "iterations": request.get("iterations", 0)}
        self.tell("progress", number, stage=stage, iteration=iteration, message=message, **nothing | known)


class Clock:
    """How long the iterations take."""

    def __init__(self):
        self._start = None

    def seconds_left(self, step) -> float | None:
        """After a `Progress`: until the end, None before the first iteration has been timed."""
        if step.stage != "refine":
            return None
        if self._start is None or not step.iteration:
            self._start = time.monotonic()
            return None
        return (time.monotonic() - self._start) / step.iteration * (step.iterations - step.iteration)


def _known(points: np.ndarray | None, confidence: np.ndarray | None, fixed: dict) -> dict:
    """A pose as JSON holds it, with the points that a person has placed where they were placed."""
    if points is None:
        return {}
    points, confidence = points.copy(), confidence.copy()
    for landmark, point in fixed.items():
        points[landmark], confidence[landmark] = point, 1.0
    confidence = [value if np.isfinite(value) else None for value in confidence.tolist()]
    return {"points": rows_of_points(points), "confidence": confidence}


# --- what a request wants otherwise than the estimator was opened


def _arranged(estimator, request: dict):
    """A copy of the `Estimator`, on the same networks, with the request's spacing, library and refinement."""
    arranged = copy.copy(estimator)
    arranged.name = Path(estimator.name).name  # for the provenance, which shall not tell the user's folders
    arranged.refinement = _refinement(request)
    arranged.library = _library(estimator.library, request["libraries"])
    arranged.networks = {name: _network(estimator, name, request) for name in estimator.networks}
    return arranged


def _refinement(request: dict) -> dict:
    from FetalPoseLib.estimator import refinement_options

    options = refinement_options(request["refinement"])
    return options if options["method"] == "consensus" else {**options, "k": request["k"]}


def _network(estimator, name: str, request: dict):
    """The network called `name`; the main one with the request's spacing."""
    network, spacing = estimator.networks[name], request["spacing"]
    network.net.checkpointing = request.get("checkpointing", False)
    if spacing is None or name not in MAIN:
        return network
    if spacing not in _spacings(estimator):
        allowed = " or ".join(f"{allowed:g}" for allowed in _spacings(estimator))
        raise FetalPoseError(f"The model {estimator.name} works at {allowed} mm, not at {spacing:g} mm.")
    return replace(network, task={**network.task, "spacing_mm": spacing})


def _spacing(estimator) -> float:
    """The spacing in mm at which the model was trained to look."""
    return next(estimator.networks[name].task["spacing_mm"] for name in MAIN if name in estimator.networks)


def _spacings(estimator) -> list[float]:
    """All that it allows, finest first: its own, and those that its metadata lists."""
    return sorted({_spacing(estimator), *estimator.metadata.get("spacings_mm", [])})


def _library(bundled, paths: list[str]):
    """The bundled atlases with the user's own."""
    from FetalPoseLib.body.pose_library import PoseLibrary

    own = [PoseLibrary.load(path) for path in paths]
    if not own:
        return bundled
    names = [name for library in (bundled, *own) for name in library.names]
    return PoseLibrary(np.concatenate([library.poses for library in (bundled, *own)]), names)


# --- the machine


def _devices() -> Iterator[dict]:
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        yield {"device": "cuda", "name": _device_name("cuda"), "free_bytes": free, "total_bytes": total}
    free, total = _host_memory()
    yield {"device": "cpu", "name": _device_name("cpu"), "free_bytes": free, "total_bytes": total}


def _device_name(kind: str) -> str:
    if kind == "cpu":
        return f"CPU {platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    import torch

    return torch.cuda.get_device_name()


def _host_memory() -> tuple[int | None, int | None]:
    """Bytes of main memory available and in all; None where the system does not say (it does on Linux)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        kilobytes = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
        return kilobytes["MemAvailable"] * 1024, kilobytes["MemTotal"] * 1024
    except (OSError, ValueError, KeyError):
        return None, None


def _gpu_is_full(error: Exception) -> bool:
    torch = sys.modules.get("torch")
    texts = ("CUDA error: out of memory", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")
    return torch is not None and (
        isinstance(error, torch.cuda.OutOfMemoryError) or any(text in str(error) for text in texts)
    )


def _free_gpu() -> None:
    import torch

    gc.collect()
    torch.cuda.empty_cache()


def _in_words(error: Exception) -> tuple[str, bool]:
    """What went wrong, and whether a user can mend it."""
    if isinstance(error, FetalPoseError):
        return str(error), True
    if isinstance(error, ImportError) and error.name:
        return f"The network needs the package {error.name}, which {sys.executable} lacks. Install it there.", True
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
        return "Not enough memory. Close other programs, or use a smaller volume.", True
    return f"The network failed: {type(error).__name__}: {error}", False
