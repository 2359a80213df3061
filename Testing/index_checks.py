"""What the ExtensionsIndex of 3D Slicer checks of an extension, as far as that goes without the internet.

    python Testing/index_checks.py

Prints a line for each fault, and ends with 1 if there is one. After scripts/check_description_files.py and the schema
1.0.2 of github.com/Slicer/ExtensionsIndex. Left out is what needs the internet: that the repository has the topic
3d-slicer-extension, and that the URLs of icon and screenshots answer.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
NAME = "FetalPose"
SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1.0.2.json#"
)
REQUIRED = ("$schema", "category", "scm_url")
TYPES = {
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "dicom_support_rule": str,
    "build_subdirectory": str,
    "enabled": bool,
    "tier": int,
}
MOST_BYTES = 100 * 2**20  # of all files that are checked out
RAW = "https://raw.githubusercontent.com/FetalPose/SlicerFetalPose/main/"
PNG = b"\x89PNG\r\n\x1a\n"


def faults(root: Path = ROOT) -> list[str]:
    """A sentence for each fault of the extension in the folder ``root``."""
    text = (root / f"{NAME}.json").read_bytes()
    entry, cmake = json.loads(text), (root / "CMakeLists.txt").read_text(encoding="utf-8")
    found = [f"{NAME}.json: {fault}" for fault in entry_faults(entry)]
    found += [f"{NAME}.json: a line ends with CR" for _ in range(b"\r" in text)]
    found += [f"CMakeLists.txt: {fault}" for fault in cmake_faults(cmake, entry, root)]
    if not any((root / name).is_file() for name in ("LICENSE", "LICENSE.txt")):
        found.append("there is no LICENSE")
    size = checked_out_bytes(root)
    if size > MOST_BYTES:
        found.append(f"the repository has {size / 2**20:.0f} MB; {MOST_BYTES / 2**20:.0f} MB are allowed")
    return found


def entry_faults(entry: dict) -> list[str]:
    """What is wrong in the description file."""
    found = [f"'{key}' is missing" for key in REQUIRED if not entry.get(key)]
    found += [f"'{key}' is unknown to the schema" for key in entry if key not in TYPES]
    found += [f"'{key}' has another type" for key, kind in TYPES.items() if type(entry.get(key, kind())) is not kind]
    if found:
        return found
    if entry["$schema"] != SCHEMA:
        found.append(f"the schema is {entry['$schema']}, not {SCHEMA}")
    if not 1 <= entry.get("tier", 1) <= 5:
        found.append("the tier lies outside 1 to 5")
    if not all(isinstance(name, str) for name in entry.get("build_dependencies", [])):
        found.append("a dependency is no name")
    url = urlsplit(entry["scm_url"])
    if url.scheme not in ("git", "https") or not url.netloc:
        found.append("scm_url is no URL of git or https")
    repository = url.path.rstrip("/").rsplit("/")[-1].removesuffix(".git")
    if repository != f"Slicer{NAME}":
        found.append(f"the repository is called {repository}, not Slicer{NAME}")
    return found


def cmake_faults(cmake: str, entry: dict, root: Path) -> list[str]:
    """What is wrong in the CMake file, or differs from the description file."""
    found = []
    parts = re.findall(r'set\(EXTENSION_(\w+) (?:"([^"\n]*)"|([^")\n]*))\)', cmake)
    values = {name: quoted or plain for name, quoted, plain in parts}
    if re.findall(r"project\s*\(\s*(\w+)", cmake)[:1] != [NAME]:
        found.append(f"the project is not called {NAME}")
    for key in ("HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"):
        if not values.get(key):
            found.append(f"EXTENSION_{key} is missing")
    if "patent" not in values.get("DESCRIPTION", ""):
        found.append("the description says nothing of patents")
    if values.get("DEPENDS", "").split() != entry.get("build_dependencies"):
        found.append("its dependencies are not those of the description file")
    if values.get("CATEGORY", entry["category"]) != entry["category"]:
        found.append("its category is not that of the description file")
    for url in [values.get("ICONURL", ""), *values.get("SCREENSHOTURLS", "").split()]:
        path = root / url.removeprefix(RAW)
        if not url.startswith(RAW) or not path.is_file() or path.read_bytes()[:8] != PNG:
            found.append(f"{url} is no PNG file of this repository")
    return found


def checked_out_bytes(root: Path) -> int:
    """The size of all files that git knows; where there is no git, of all."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False)
    names = done.stdout.split("\0") if done.returncode == 0 and done.stdout else None
    paths = [root / name for name in names if name] if names is not None else root.rglob("*")
    return sum(path.stat().st_size for path in paths if path.is_file())


if __name__ == "__main__":
    wrong = faults()
    print("\n".join(wrong) or "The ExtensionsIndex would find no fault offline.")
    sys.exit(1 if wrong else 0)
