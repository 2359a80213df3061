"""A server in a process of its own, with a scripted or the real network's process, which answers questions on stdin.

    python Testing/web/web_server.py '{"folder": "/tmp/x", "plan": {...}}'

The first line on stdout is the page's address. Each further line of stdin is JSON, [name, arguments]; so is its answer,
{"answer": ...}, or {"error": text} where the question failed. The server ends when stdin does.
"""

import asyncio
import json
import sys
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent.parent)]

import web_desk  # noqa: E402 (the paths come first)

from FetalPoseLib import scene as mrml  # noqa: E402
from FetalPoseWeb.application import Application  # noqa: E402
from FetalPoseWeb.options import WebOptions  # noqa: E402


class Questions:
    """What a test may ask of the server."""

    def __init__(self, application: Application):
        self.application, self.desk = application, application.desk

    def afresh(self) -> None:
        """Forget volume and pose, as if nothing had been done before."""
        front = self.application.front
        front.session.cancel()
        front.folder.discard()
        front._take(None)
        self.desk.clear()
        front.state.volume = front.state.geometry = ""
        front.say("")

    def where(self, view: str, landmark: str) -> list[float]:
        """Pixels from the left and from the top of a view."""
        point = mrml.points_of(self.desk.pose)[web_desk.SKELETON.index(landmark)]
        shown = self.desk.views[view]
        x, y = (web_desk.in_threed if view == "ThreeD" else web_desk.in_slice)(shown, point)
        return [float(x), shown.render_window().GetSize()[1] - float(y)]

    def points(self) -> list:
        return mrml.points_of(self.desk.pose).tolist()

    def moved(self) -> list[str]:
        return list(mrml.placed_landmarks(self.desk.pose))

    def volume(self) -> str:
        return self.desk.volume_name

    def frames(self) -> dict[str, int]:
        return {remote.adapter.area_name: remote.scheduler.frames for remote in self.application.front.remote_views}

    def files(self) -> list[str]:
        folder = self.application.folder.path
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def answer(questions: Questions) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        name, arguments = json.loads(line)
        try:
            said = json.dumps({"answer": getattr(questions, name)(*arguments)})
        except Exception:  # or who asked would wait for an answer that never comes
            said = json.dumps({"error": traceback.format_exc()})
        print(said, flush=True)
    await questions.application.server.stop()


def main(request: dict) -> None:
    asyncio.set_event_loop(asyncio.new_event_loop())
    client = web_desk.fake_client(**request["plan"]) if request.get("plan") is not None else None
    options = WebOptions(browser=False, folder=Path(request["folder"]), **request.get("options", {}))
    application = Application(options, client)

    def ready() -> None:
        print(application.address, flush=True)
        application._spawn(answer(Questions(application)))

    try:
        application.run(ready)
    finally:
        application.close()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
