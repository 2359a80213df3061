"""Sentences without names: what of a volume's file name and header could tell who the patient is stays out.

A message may quote a file's name or a value of its header. A word of a message is kept only if this program's own
source writes it (the texts of its messages and the system's errors), or if it is a short number. So a name can get
through only if it is also such a word; words of the file's name and of the patient's items in a DICOM header are then
left out as well, where they are written with a capital or a digit.
"""

from __future__ import annotations

import ast
import os
import re
from functools import lru_cache
from pathlib import Path

GAP = "[...]"
_FILE = "The file"
MOST_DIGITS = 4  # of a number that is kept: identifiers and dates are longer
_WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)?|_+", re.UNICODE)
_CITATION = re.compile(r"\b[A-Z]\w+(?: (?:and|&) [A-Z]\w+)? (?:et al\.,? )?(?:19|20)\d\d\b")  # authors are people
_NUMBER = re.compile(rf"\d{{1,{MOST_DIGITS}}}")
_GROUPS = (0x0008, 0x0010, 0x0018, 0x0020, 0x0032, 0x0038, 0x0040)  # of a DICOM header: who, where, when
_NAMES = ("PN", "LO", "SH", "LT", "ST", "DA", "CS", "AE")


def without_names(message: str, source: Path) -> str:
    """The message with `GAP` for each word that may come from the volume.

    Parameters
    ----------
    message : for a person
    source : file or folder of the volume

    Example
    -------
    >>> without_names("/data/DOE^JANE.nrrd does not exist. Check its name.", Path("/data/DOE^JANE.nrrd"))
    'The file does not exist. Check its name.'
    """
    text = re.sub(rf"^{re.escape(str(source))}(?= )", _FILE, message).replace(str(source), GAP)
    text = text.replace(source.name, GAP) if source.name else text
    private, known = private_words(source), vocabulary()

    def kept(match: re.Match) -> str:
        word = match[0]
        marked = any(c.isupper() or c.isdigit() for c in word)
        if _NUMBER.fullmatch(word):
            return GAP if word in private and len(word) > 2 else word
        return word if word in known and not (marked and word in private) else GAP

    return re.sub(rf"{re.escape(GAP)}(?:[^\w\s]*{re.escape(GAP)})+", GAP, _WORD.sub(kept, text))


@lru_cache
def vocabulary() -> frozenset[str]:
    """The words of the library's own messages, and those of the system."""
    root = Path(__file__).resolve().parent.parent
    words: set[str] = set()
    for path in root.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings name authors
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
                words.update(_WORD.findall(_CITATION.sub("", node.value)))
    for number in range(1, 134):
        words.update(_WORD.findall(os.strerror(number)))
    return frozenset(words)


def private_words(source: Path) -> frozenset[str]:
    """The words of a volume's file name and folder, of the files in it, and of the DICOM header of one of these."""
    names = [source.name, source.parent.name]
    first = source if source.is_file() else None
    if source.is_dir():
        files = [Path(root, name) for root, _, names_ in os.walk(source) for name in names_]
        names += [part for path in files for part in path.relative_to(source).parts]
        first = next((path for path in files if path.is_file()), None)
    texts = names + (_dicom_texts(first) if first is not None else [])
    return frozenset(word for text in texts for word in _WORD.findall(text))


def _dicom_texts(path: Path) -> list[str]:
    from pydicom import dcmread

    try:
        header = dcmread(path, stop_before_pixels=True)
        return [str(item.value) for item in header if item.tag.group in _GROUPS and item.VR in _NAMES]
    except Exception:  # it is no DICOM file, or damaged in any way; its names are not known then
        return []
