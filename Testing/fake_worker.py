"""A stand-in for the network's process that speaks its protocol and knows the answer: for tests of what lies around it.

Its one argument is JSON: "points" (16 rows), "mode" and "pause" in seconds before each event. It writes every request
that it got to the file "log".
"""

import json
import os
import signal
import sys
import time

STEPS = 3


def say(kind, request, **data):
    print(json.dumps({"kind": kind, "request": request, **data}), flush=True)


def answer(request, plan):
    number, points, mode = request["request"], plan["points"], plan.get("mode", "good")
    fixed = {int(i): point for i, point in request.get("fixed", {}).items()}

    def pose(off):
        return [fixed.get(i, None if row is None else [x + off for x in row]) for i, row in enumerate(points)]

    def progress(stage, iteration, off=None):
        time.sleep(plan.get("pause", 0))
        rows = None if off is None else pose(off)
        say("progress", number, stage=stage, iteration=iteration, iterations=STEPS, points=rows,
            confidence=None if rows is None else plan["confidence"], seconds_left=None, message=stage)  # fmt: skip

    if request["do"] == "devices":
        devices = [{"device": "cuda", "name": "Test GPU", "free_bytes": 8e9, "total_bytes": 9e9}]
        say("done", number, devices=devices)
        return
    say("ready", number, model=request["model"], device="cpu", device_name="CPU")
    if request["do"] == "warm_up":
        return
    progress("locate", 0)
    if mode == "failed":
        say("failed", number, message="Nothing in the volume looks like a fetus.", user=True, stderr="")
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
    provenance = {"Model": request["model"], "Iterations": str(STEPS)}
    say("done", number, points=pose(0.0), confidence=plan["confidence"], unrefined=pose(3.0),
        provenance=provenance, warnings=plan.get("warnings", []))  # fmt: skip


def main():
    plan = json.loads(sys.argv[1])
    say("hello", None, pid=os.getpid())
    for line in sys.stdin:
        request = json.loads(line)
        if "log" in plan:
            with open(plan["log"], "a", encoding="utf-8") as file:
                file.write(line)
        answer(request, plan)


if __name__ == "__main__":
    main()
