"""A stand-in for a volume process: it speaks the protocol of `FetalPoseLib.cohort.jobs`; its volumes say what happens.

A volume is a JSON file: {"seconds": of work, "does": "hang", "crash", "eat" (memory) or "kill" (its Dask worker),
"once": true where that happens the first time only}. It names, skips and records volumes as the real process does,
without reading any; its one argument is a file to which it adds a line for each volume that it works on.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from FetalPoseLib.cohort.content import content_of  # noqa: E402 (the path comes first)
from FetalPoseLib.cohort.jobs import EstimateJob, Named, Outcome, answer_line, job_in  # noqa: E402
from FetalPoseLib.cohort.study import Study, has_room, volume_of  # noqa: E402
from FetalPoseLib.errors import FetalPoseError  # noqa: E402

POSE_BYTES = 40_000  # so that a small disk fills up


def command(log: Path) -> tuple[str, ...]:
    """The command line that starts this file, for `ClusterOptions.process`."""
    return (sys.executable, str(Path(__file__).resolve()), str(log))


def say(answer) -> None:
    print(answer_line(answer), flush=True)


def act(does: str) -> None:
    if does == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    elif does == "crash":
        os._exit(3)
    elif does == "eat":
        eaten = bytearray(400_000_000)
        eaten[::4096] = bytes(len(eaten[::4096]))
        time.sleep(600)
    elif does == "kill":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)


def estimate(job: EstimateJob, log: Path) -> Outcome:
    source, study = Path(job.source), Study(job.study)
    content = content_of(source)
    name = study.name_of(job, content)
    say(Named(name, content))
    settled = study.is_settled(job, name)
    if settled is not None:
        return Outcome(job.number, name, content, settled.get("kind", ""), settled.get("reason", ""), skipped=True)
    plan = json.loads(source.read_text())
    before = log.read_text().split() if log.exists() else []
    with open(log, "a") as file:
        file.write(f"{source.name}:{os.getpid()}\n")
    time.sleep(plan.get("seconds", 0))
    if not (plan.get("once") and any(line.startswith(f"{source.name}:") for line in before)):
        act(plan.get("does", ""))
    try:
        study.pose(name).write_bytes(bytes(POSE_BYTES))
        record = {"key": job.key, "volume": volume_of(job), "name": name, "content": content, "warnings": []}
        record |= {"points": [[i, 2 * i, 3 * i] for i in range(16)], "confidence": [0.9] * 16, "provenance": {}}
        study.write_record(name, record)
    except (OSError, FetalPoseError) as error:
        study.pose(name).unlink(missing_ok=True)
        kind = "refused" if has_room(study.folder) else "disk"
        return Outcome(job.number, name, content, kind, f"{type(error).__name__}")
    return Outcome(job.number, name, content)


def main() -> None:
    lines: list[str] = []
    come = threading.Event()

    def listen() -> None:
        for line in sys.stdin:
            lines.append(line)
            come.set()
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        come.wait()
        come.clear()
        while lines:
            job = job_in(lines.pop(0))
            opening = isinstance(job, EstimateJob) and not job.source
            say(Outcome(job.number) if opening else estimate(job, Path(sys.argv[1])))


if __name__ == "__main__":
    main()
