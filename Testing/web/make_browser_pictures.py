"""The pictures of docs/browser.md: the page in Chromium with the real network, small enough for the repository.

python Testing/web/make_browser_pictures.py docs/pictures
"""

import io
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent.parent)]

from PIL import Image  # noqa: E402 (the paths come first)
from web_page import Page, Server, chromium  # noqa: E402

QUALITY = 82  # of JPEG: a picture must stay below 150 kB


def main(folder: Path, sizes: tuple[tuple[int, int], ...] = ((1366, 768),)) -> None:
    with tempfile.TemporaryDirectory() as state, chromium() as browser:
        server = Server(Path(state) / "state")
        for size in sizes:
            suffix = "" if size == (1366, 768) else f"_{size[0]}"
            page = Page(browser, server, size)
            page.estimate_sample()
            page.show("left_knee")
            page.drag("ThreeD", "left_knee", (14, -10))
            page.page.mouse.move(5, 5)
            save(page, folder / f"browser{suffix}.jpg")
            page.click("tab-landmarks")
            page.click("settings")
            save(page, folder / f"browser_settings{suffix}.jpg")
            page.close()
        server.close()


def save(page: Page, path: Path) -> None:
    page.page.wait_for_timeout(2500)  # the frames with most samples, and the doubts
    picture = Image.open(io.BytesIO(page.page.screenshot(full_page=True)))
    picture.convert("RGB").save(path, quality=QUALITY, optimize=True)


if __name__ == "__main__":
    sizes = tuple(tuple(map(int, size.split("x"))) for size in sys.argv[2:]) or ((1366, 768),)
    main(Path(sys.argv[1]), sizes)
