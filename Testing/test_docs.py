"""The pages of docs/ and the documents beside them: every page stands in the site, and no link leads nowhere."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")


def outward(markdown: str, source: str) -> str:
    """`docs/site_links.py` is loaded by mkdocs from its file; so here."""
    spec = importlib.util.spec_from_file_location("site_links", DOCS / "site_links.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.outward(markdown, source)


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs name them."""
    headings = re.findall(r"^#+ +(.*)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings_that_exist(page):
    path = ROOT / page
    for link in LINK.findall(path.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name) if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_has_a_place_in_the_site():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    listed = re.findall(r": (\S+\.md)$", nav, re.M)
    assert sorted(listed) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def test_the_picture_of_the_rooms_shows_the_layers_in_their_order():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    picture = (DOCS / "rooms.md").read_text(encoding="utf-8").split("```")[1]
    shown = [
        name for line in re.findall(r"\| ([a-z]+(?:, [a-z]+)*) +(?=[a-zA-Z|])", picture) for name in line.split(", ")
    ]
    layers = [name for layer in settings["contracts"][0]["layers"] for name in layer.split(" : ")]
    assert shown == [name for name in layers if not name.startswith("(")]


def test_the_site_links_to_the_repository_only_for_what_it_does_not_hold():
    assert outward("[a](../results.md#time)", "decisions/0005.md") == "[a](../results.md#time)"
    assert outward("[a](../CONTRIBUTING.md)", "index.md").endswith("/blob/main/CONTRIBUTING.md)")
    assert outward("![a](../../benchmarks/a.png)", "decisions/0005.md").endswith("/raw/main/benchmarks/a.png)")
