"""One server: trame's, with the desk, the page, the guard and the folder of its session."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from aiohttp import ClientConnectionResetError
from trame.app import get_server

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.worker.client import WorkerClient
from FetalPoseWeb.actions import Actions
from FetalPoseWeb.choices import Choices
from FetalPoseWeb.desk import Desk
from FetalPoseWeb.folder import SessionFolder
from FetalPoseWeb.front import Front
from FetalPoseWeb.guard import Guard, new_secret
from FetalPoseWeb.options import WebOptions
from FetalPoseWeb.page import build_page
from FetalPoseWeb.routes import Routes
from FetalPoseWeb.views import RemoteViewFactory


class Application:
    """Everything of one server. `run` returns when it has been stopped; `close` must be called then.

    Parameters
    ----------
    options : WebOptions
    client : WorkerClient, optional
        The network's process, that of this Python where it is left out.
    """

    def __init__(self, options: WebOptions, client: WorkerClient | None = None):
        self.options = options
        self.folder = SessionFolder(options.folder)
        self.server = get_server("fetalpose", client_type="vue3")
        self.guard = Guard(options.secret or new_secret(), options.origins, is_local=options.is_local)
        factory = RemoteViewFactory(self.server)
        self.desk = Desk(factory, client or WorkerClient())
        choices = Choices(self.server, options.library_folder, options.device)
        self.front = Front(self.server, self.desk, factory.remote_views(), self.folder, choices)
        self.actions = Actions(self.front)
        self.guard.on_open, self.guard.on_close = self._on_open, self._on_close
        self.routes = Routes(self.front, self.guard, self.folder, options.limit_bytes)
        self.page = build_page(self.server)
        self._idle: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task] = set()

    @property
    def address(self) -> str:
        """Of the page, with its secret, once the server runs."""
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        return f"http://{host}:{self.server.port}/?secret={self.guard.secret}"

    def run(self, ready: Callable[[], object] = lambda: None) -> None:
        """Serve until the process is stopped, or the page was closed for too long."""
        self.server.controller.on_server_bind.add(lambda server: self.routes.add_to(server.app))
        self.server.controller.on_server_ready.add(lambda **_: self._on_ready(ready))
        self.server.cli.set_defaults(authKey=self.guard.secret)
        sys.argv = sys.argv[:1]  # trame reads the arguments of the process, which are not meant for it
        self.server.start(
            host=self.options.host,
            port=self.options.port,
            timeout=0,
            open_browser=False,
            show_connection_info=False,
            disable_logging=True,
        )

    def close(self) -> None:
        """Let go of process, scene and folder."""
        for task in self._tasks:
            task.cancel()
        if not self.options.forget:
            with suppress(FetalPoseError):
                self.front.close()
        with suppress(Exception):
            self.desk.close()
        self.folder.close(forget=self.options.forget)

    def _on_ready(self, ready: Callable[[], object]) -> None:
        asyncio.get_running_loop().set_exception_handler(log_unless_page_closed)
        self._spawn(self.front.run())
        self.desk.session.warm_up()
        self.desk.session.ask_for_devices()
        if self.options.volume is not None:
            self._spawn(self._open_first(self.options.volume))
        self._wait_idle()
        ready()

    async def _open_first(self, path: Path) -> None:
        try:
            await self.front.open_file(path, path.name)
        except FetalPoseError as error:
            self.front.say(str(error), is_warning=True)
            logging.error(error)

    def _on_open(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        self.front.on_open()

    def _on_close(self) -> None:
        self.front.let_go()
        self._wait_idle()

    def _wait_idle(self) -> None:
        """End after a while if no page connects."""
        if self.options.idle_min > 0:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(60 * self.options.idle_min, lambda: self._spawn(self.server.stop()))

    def _spawn(self, coroutine) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logging.error("FetalPose", exc_info=task.exception())


def log_unless_page_closed(loop: asyncio.AbstractEventLoop, context: dict) -> None:
    """Log what failed in a task, but not that a page closed while a frame was on its way: pages do."""
    if not isinstance(context.get("exception"), ClientConnectionResetError):
        loop.default_exception_handler(context)
