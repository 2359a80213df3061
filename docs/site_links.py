"""Hook of mkdocs: links to files outside docs/ lead to the repository, since the site holds the pages of docs/ only."""

import posixpath
import re

REPOSITORY = "https://github.com/FetalPose/SlicerFetalPose"
UPWARD = re.compile(r"(?<=\]\()\.\./[^)#]*")  # the target of a Markdown link or picture that leaves the page's folder


def on_page_markdown(markdown: str, page, **_) -> str:
    return outward(markdown, page.file.src_uri)


def outward(markdown: str, source: str) -> str:
    """The text of the page ``source``, such as "decisions/0001.md", with the links that leave docs/ made absolute."""

    def target(link: re.Match) -> str:
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(source), link.group()))
        if path.startswith("docs/"):
            return link.group()
        return f"{REPOSITORY}/{'raw' if path.endswith('.png') else 'blob'}/main/{path}"

    return UPWARD.sub(target, markdown)
