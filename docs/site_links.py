"""Hook of mkdocs: links to files outside docs/ lead to the repository, since the site holds the pages of docs/ only."""

REPOSITORY = "https://github.com/FetalPose/SlicerFetalPose/raw/main/"


def on_page_markdown(markdown: str, **_) -> str:
    return markdown.replace("](../", f"]({REPOSITORY}")
