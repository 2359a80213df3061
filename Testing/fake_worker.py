"""A stand-in for the network's process that speaks its protocol and knows the answer: for tests of what lies around it.

Its one argument is JSON: "points" (16 rows), "confidence" (16), perhaps "radius_mm" (16) and "length_interval_mm" (15
pairs), "mode" and "pause" in seconds before each event. It writes every request that it got to the file "log". Its
messages are the typed ones of `FetalPoseLib.worker.protocol`, so it cannot say what the real process could not.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from FetalPoseLib.body.estimate import Estimate, Progress, points_of_rows  # noqa: E402 (the path comes first)
from FetalPoseLib.body.plausibility import holds_fetus
from FetalPoseLib.worker.protocol import (  # noqa: E402
    Device,
    Devices,
    DevicesRequest,
    Done,
    EstimateRequest,
    Event,
    Failed,
    Hello,
    ProgressEvent,
    Ready,
    Request,
    decode_request,
    encode_event,
)

STEPS = 3
DEVICE = Device("cuda", "Test GPU", free_bytes=8 * 10**9)


def command(plan: dict, python: str = sys.executable) -> list[str]:
    """The command line that starts this file, for `WorkerClient(command=...)`."""
    return [python, str(Path(__file__).resolve()), json.dumps(plan)]


def emit(event: Event) -> None:
    print(encode_event(event), flush=True)


def answer(number: int, request: Request, plan: dict) -> None:
    if isinstance(request, DevicesRequest):
        emit(Devices(number, (DEVICE,)))
        return
    emit(Ready(number, request.options.model, "cpu", "CPU"))
    if isinstance(request, EstimateRequest):
        estimate(number, request, plan)


def estimate(number: int, request: EstimateRequest, plan: dict) -> None:
    mode, confidence = plan.get("mode", "good"), np.array(plan["confidence"], dtype=float)

    def pose(offset_mm: float) -> np.ndarray:
        points = points_of_rows(plan["points"]) + offset_mm
        for landmark, point in request.placed.items():
            points[landmark] = point
        return points

    def progress(stage: str, iteration: int, offset_mm: float | None = None) -> None:
        time.sleep(plan.get("pause", 0))
        known = (None, None) if offset_mm is None else (pose(offset_mm), confidence)
        fetus = offset_mm is None or holds_fetus(confidence)
        emit(ProgressEvent(number, Progress(stage, iteration, STEPS, *known, stage, fetus), None))

    progress("locate", 0)
    if mode == "failed":
        emit(Failed(number, "Nothing in the volume looks like a fetus.", user=True))
        return
    progress("detect", 0, 3.0)
    if mode == "crash":
        print("segmentation fault in the kernel", file=sys.stderr)
        os._exit(3)
    if mode == "killed":
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    if mode == "nonsense":
        print("%%%", flush=True)
        time.sleep(5)
    if mode == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
    for step in range(1, STEPS + 1):
        progress("refine", step, 3.0 - step)
    provenance = {"Model": request.options.model, "Iterations": str(STEPS)}
    known = {name: np.array(plan[name], dtype=float) for name in ("radius_mm", "length_interval_mm") if name in plan}
    known["holds_fetus"] = holds_fetus(confidence)
    emit(Done(number, Estimate(pose(0.0), confidence, pose(3.0), provenance, plan.get("warnings", []), **known)))


def main() -> None:
    plan = json.loads(sys.argv[1])
    emit(Hello(None, os.getpid()))
    for line in sys.stdin:
        if "log" in plan:
            with open(plan["log"], "a", encoding="utf-8") as file:
                file.write(line)
        answer(*decode_request(line), plan)


if __name__ == "__main__":
    main()
