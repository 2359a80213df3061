"""The four views as pictures: Slicer's views, rendered here, sent as JPEG, with the mouse coming back.

Without a graphics card a frame with eight samples a pixel takes four to nine times as long as one with one sample. So
frames have one sample while something moves, and `STILL_SAMPLES` once nothing has for `STILL_AFTER_S`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from trame_rca.encoders import RcaImageEncoder
from trame_rca.utils import RcaViewAdapter
from trame_rca.widgets.rca import RemoteControlledArea
from trame_server.utils.asynchronous import create_task
from trame_slicer.rca_view.rca_view_factory import RcaRenderStrategy, RcaWindow
from trame_slicer.views import AbstractView, IViewFactory, SliceView, ThreeDView, ViewLayout, ViewType

MOVING_FPS = 20.0
STILL_AFTER_S = 0.35
STILL_SAMPLES = 4
MOVING_QUALITY, STILL_QUALITY = 60, 92  # of JPEG
MOUSE_MS = 40  # between two moves that the page sends
NO_KEYS = {  # VTK passes over an event that does not tell all of these
    "buttonLeft": 0, "buttonMiddle": 0, "buttonRight": 0, "shiftKey": 0, "ctrlKey": 0, "altKey": 0, "metaKey": 0,
}  # fmt: skip
LEFT, MIDDLE, RIGHT = "LeftButton", "MiddleButton", "RightButton"


class FrameScheduler:
    """Renders a window when asked to, at most `MOVING_FPS` times a second, and hands each frame on as JPEG.

    Attributes
    ----------
    frames : int
        Frames sent so far.
    """

    def __init__(self, window: RcaWindow, render_window):
        self.rca, self.target_fps, self.frames = window, MOVING_FPS, 0
        self._render_window = render_window
        self._wanted = asyncio.Event()
        self._push: Callable[[bytes, dict], object] = lambda content, meta: None
        self._pool = ThreadPoolExecutor(1)
        self._task = create_task(self._run())

    def set_push_callback(self, callback: Callable[[bytes, dict], object]) -> None:
        """Where frames go."""
        self._push = callback

    def schedule_render(self) -> None:
        """Ask for a frame."""
        self._wanted.set()

    def reset(self) -> None:
        """A new page looks: it has no frame yet."""
        self.schedule_render()

    async def close(self) -> None:
        """Render no more."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._pool.shutdown(wait=False)

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._picture()
            except Exception:  # the next frame may be a good one
                logging.exception("FetalPose: a frame failed")

    async def _picture(self) -> None:
        """A frame at once, and a better one if nothing moves for a while."""
        began = monotonic()
        await self._frame(MOVING_QUALITY, samples=0)
        await asyncio.sleep(max(0.0, 1 / self.target_fps - (monotonic() - began)))
        if self._wanted.is_set():
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wanted.wait(), STILL_AFTER_S)
            return
        await self._frame(STILL_QUALITY, samples=STILL_SAMPLES)

    async def _frame(self, quality: int, *, samples: int) -> None:
        self._render_window.SetMultiSamples(samples)
        image, columns, rows = self.rca.img_cols_rows
        loop = asyncio.get_running_loop()
        encoder = RcaImageEncoder.TURBO_JPEG
        content, meta, _ = await loop.run_in_executor(self._pool, encoder.encode, image, columns, rows, quality)
        self.frames += 1
        self._push(content, meta)


@dataclass
class RemoteView:
    """A view and what connects it with the page."""

    view: AbstractView
    adapter: RcaViewAdapter
    scheduler: FrameScheduler

    def release(self) -> None:
        """Let go of every mouse button, as if the person had: a release is lost when a page closes."""
        x, y = self.view.interactor().GetEventPosition()
        size = self.view.render_window().GetSize()
        for button in (LEFT, MIDDLE, RIGHT):
            event = {"type": f"{button}Release", "action": "up", "x": x, "y": y, "w": size[0], "h": size[1], **NO_KEYS}
            self.adapter.on_interaction("server", event)  # which passes over a release without a press

    def refresh(self) -> None:
        """Send a frame to a page that has none."""
        self.scheduler.schedule_render()


class RemoteViewFactory(IViewFactory):
    """Makes the views of a page. Each is a template of its own name, for the page to place."""

    def __init__(self, server):
        super().__init__()
        self._server = server

    def can_create_view(self, view) -> bool:
        """Slice views and 3D views."""
        return view.view_type in (ViewType.SLICE_VIEW, ViewType.THREE_D_VIEW)

    def remote_views(self) -> list[RemoteView]:
        """All views that were made."""
        return list(self._views.values())

    def _create_view(self, view, scene, app_logic) -> RemoteView:
        name = view.singleton_tag
        make = SliceView if view.view_type is ViewType.SLICE_VIEW else ThreeDView
        slicer_view = make(scene=scene, app_logic=app_logic, name=name)
        slicer_view.set_view_properties(view.properties)
        settle(slicer_view)
        cursor = f"{name}_cursor"
        self._server.state.setdefault(cursor, "default")
        window = RcaWindow(slicer_view.render_window(), state=self._server.state, active_view_cursor=cursor)
        scheduler = FrameScheduler(window, slicer_view.render_window())
        adapter = RcaViewAdapter(window=window, name=name, scheduler=scheduler, do_schedule_render_on_interaction=False)
        with ViewLayout(self._server, template_name=name):
            RemoteControlledArea(
                name=name,
                display="image",
                send_mouse_move=True,
                event_throttle_ms=(str(MOUSE_MS),),
                style=("{position: 'relative', width: '100%', height: '100%', cursor: " + cursor + "}",),
            )
        slicer_view.set_scheduled_render(RcaRenderStrategy(scheduler))

        async def register() -> None:
            await self._server.ready
            self._server.root_server.controller.rc_area_register(adapter)

        create_task(register())
        return RemoteView(slicer_view, adapter, scheduler)

    def _get_slicer_view(self, view: RemoteView) -> AbstractView:
        return view.view


def settle(view: AbstractView) -> None:
    """What every view of ours has otherwise than trame-slicer's: dark, one sample, volumes beside models visible."""
    view.render_window().SetMultiSamples(0)
    if isinstance(view, ThreeDView):
        view.renderer().SetUseDepthPeelingForVolumes(False)  # with it, a rendered volume is hidden beside a model
