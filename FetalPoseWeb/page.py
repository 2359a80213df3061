"""The page: its template, its style and its script, given to trame."""

from __future__ import annotations

from pathlib import Path

from trame.ui.vuetify3 import VAppLayout
from trame_server import Server

STATIC = Path(__file__).with_name("static")
MODULE = {
    "serve": {"fetalpose_static": str(STATIC)},
    "scripts": ["fetalpose_static/page.js"],
    "styles": ["fetalpose_static/page.css"],
}
TITLE = "FetalPose"
ENDED = (
    "<div class='fp-ended'><p>The connection to the server has ended. Your pose is kept.</p>"
    "<a class='fp-b' href='./'>Open the page again</a></div>"
)


def build_page(server: Server) -> VAppLayout:
    """Give the server its page. The views' templates must have been made before."""
    server.enable_module(MODULE)
    server.state.trame__title = TITLE
    server.state.trame__favicon = f"fetalpose_static/{ICON}"
    server.state.trame__template_error = ENDED
    with VAppLayout(server, theme="dark", classes="fp") as layout:
        layout.root.add_child((STATIC / "page.html").read_text(encoding="utf-8"))
    return layout


ICON = "icon.png"
