"""What the page asks for over HTTP: itself, sending files, and files to download."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from urllib.parse import quote, unquote

from aiohttp import web

from FetalPoseLib.errors import FetalPoseError
from FetalPoseWeb.folder import SessionFolder
from FetalPoseWeb.front import Front
from FetalPoseWeb.guard import BUSY, Guard
from FetalPoseWeb.uploads import TooLargeError, Upload

STATIC = Path(__file__).with_name("static")
CHUNK = 2**20  # bytes that are read at once
TYPES = {".json": "application/json", ".csv": "text/csv", ".png": "image/png"}


class Routes:
    """The handlers, which `add_to` puts into an aiohttp application."""

    def __init__(self, front: Front, guard: Guard, folder: SessionFolder, limit_bytes: int):
        self.front, self.guard, self.folder, self.limit_bytes = front, guard, folder, limit_bytes
        self._uploads: dict[str, Upload] = {}
        self._numbers = count(1)

    def add_to(self, app: web.Application) -> None:
        """Register all routes; a middleware checks before each of them who asks."""
        app.middlewares.append(self.guard.middleware())
        app.add_routes(
            [
                web.get("/", self.gate),
                web.post("/enter", self.enter),
                web.post("/uploads", self.new_upload),
                web.put("/uploads/{number}", self.receive),
                web.post("/uploads/{number}/{kind}", self.open),
                web.delete("/uploads/{number}", self.discard),
                web.get("/download/{what}", self.download),
            ]
        )

    async def gate(self, _request: web.Request) -> web.StreamResponse:
        """A small page that asks whether this session is free, and then opens the real one."""
        return web.FileResponse(STATIC / "gate.html")

    async def enter(self, request: web.Request) -> web.Response:
        """Whether the page may be opened, and where it is. ``?take=1`` ends the page that is open."""
        if "take" in request.query:
            await self.guard.take()
        if not await self.guard.free():
            return web.json_response({"message": BUSY}, status=409)
        return web.json_response({"page": f"index.html?secret={quote(self.guard.secret)}"})

    # files from the page

    async def new_upload(self, _request: web.Request) -> web.Response:
        """Begin to send the files that belong together."""
        number = str(next(self._numbers))
        self._uploads[number] = Upload(self.folder.new("upload"), self.limit_bytes)
        return web.json_response({"number": number})

    async def receive(self, request: web.Request) -> web.Response:
        """One file: its bytes are the request's, its name a header."""
        upload = self._upload(request)
        name = unquote(request.headers.get("X-Name", "file"))
        try:
            await upload.receive(name, request.content.iter_chunked(CHUNK), request.content_length)
        except FetalPoseError as error:
            self._drop(request)
            self.front.say(str(error), is_warning=True)
            status = 413 if isinstance(error, TooLargeError) else 400
            response = web.json_response({"message": str(error)}, status=status)
            response.force_close()  # what the browser still sends is not read
            return response
        except BaseException:  # the page has gone
            self._drop(request)
            raise
        return web.json_response({"stored": len(upload.paths)})

    async def open(self, request: web.Request) -> web.Response:
        """All files came: read them as a volume or as a pose."""
        upload = self._upload(request)
        kind = request.match_info["kind"]
        try:
            opened = await (self.front.open_pose(upload) if kind == "pose" else self.front.open_volume(upload))
        except FetalPoseError as error:
            self.front.say(str(error), is_warning=True)
            return web.json_response({"message": str(error)}, status=400)
        finally:
            self._drop(request)
        return web.json_response({"opened": opened})

    async def discard(self, request: web.Request) -> web.Response:
        """The person has stopped sending."""
        self._upload(request)
        self._drop(request)
        return web.json_response({})

    def _upload(self, request: web.Request) -> Upload:
        try:
            return self._uploads[request.match_info["number"]]
        except KeyError:
            raise web.HTTPNotFound(reason="This upload was stopped. Send the file again.") from None

    def _drop(self, request: web.Request) -> None:
        upload = self._uploads.pop(request.match_info["number"], None)
        if upload is not None:
            self.folder.remove(upload.folder)

    # files to the page

    async def download(self, request: web.Request) -> web.Response:
        """The pose, its table or its picture, made for this request and deleted after it."""
        folder = self.folder.new("download")
        try:
            path = await self.front.export(request.match_info["what"], folder)
            content = path.read_bytes()
        except FetalPoseError as error:
            self.front.say(str(error), is_warning=True)
            return web.json_response({"message": str(error)}, status=409)
        finally:
            self.folder.remove(folder)
        name = f"attachment; filename*=UTF-8''{quote(path.name)}"
        kind = TYPES.get(path.suffix, "application/octet-stream")
        return web.Response(body=content, content_type=kind, headers={"Content-Disposition": name})
