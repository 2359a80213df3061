"""Ways to bend a file: bytes, words where headers stand, and values of JSON."""

import copy
import json

import numpy as np

WORDS = (
    b"", b"0", b"-1", b"nan", b"inf", b"1e999", b"9" * 30, b"2147483648", b"%s%n", b"LIST", b"-", b"/dev/zero", b"none",
    b"\0", b"\n", b"\n\n", b"\r\n", b"(", b'"', b"[" * 500, b"x" * 5000, b"\xff\xfe", b"\xef\xbb\xbf", b"\x1b[2J",
    b"\xed\xb3\xbf",
)  # fmt: skip
VALUES = (
    None, True, 0, -1, 1.5, 1e308, float("nan"), float("inf"), 10**400, "", "x", "nan", "%s%s%n", "\x1b[2J", "\udcff",
    "head", "x" * 10_000, [], [[]], {}, [None], {"a": 1}, ["LPS"], list(range(1000)), [1, 2], [1, 2, 3],
    ["1", "2", "3"],
)  # fmt: skip


def bent_bytes(data: bytes, rng: np.random.Generator, *, first: int | None = None) -> bytes:
    """One to five changes of bytes, most of them within the ``first`` ones."""
    result = bytearray(data)
    for _ in range(min(rng.geometric(0.6), 5)):
        end = len(result) if first is None or rng.random() < 0.2 else min(first, len(result))
        at, length = int(rng.integers(end + 1)), int(rng.integers(1, 16))
        word = WORDS[rng.integers(len(WORDS))]
        match rng.integers(7):
            case 0:
                result[at : at + 1] = bytes([rng.integers(256)])
            case 1:
                result[at:at] = word
            case 2:
                result[at : at + length] = word
            case 3:
                del result[at : at + length]
            case 4:
                result[at : at + length] = rng.bytes(length)
            case 5:
                result[at:at] = bytes(result[at : at + int(rng.integers(1, 200))]) * int(rng.integers(1, 5))
            case _:
                if rng.random() < 0.3:
                    del result[at:]
    return bytes(result)


def bent_json(document, rng: np.random.Generator) -> str:
    """One to five values of a document replaced, taken out, moved or repeated; at times its text is bent, too."""
    document = copy.deepcopy(document)
    for _ in range(min(rng.geometric(0.6), 5)):
        places = list(_places(document))
        if not places:
            break
        holder, key = places[rng.integers(len(places))]
        match rng.integers(6):
            case 0 | 1 | 2:
                holder[key] = copy.deepcopy(VALUES[rng.integers(len(VALUES))])
            case 3:
                del holder[key]
            case 4:
                other, name = places[rng.integers(len(places))]
                holder[key] = copy.deepcopy(other[name])
            case _:
                if isinstance(holder, list):
                    holder += [copy.deepcopy(holder[key])] * int(rng.integers(1, 2000))
                else:
                    holder[f"{key}2"] = copy.deepcopy(holder[key])
    text = json.dumps(document)
    if rng.random() < 0.02:
        depth = int(rng.integers(10_000, 300_000))
        text = text[:-1] + ', "x": ' + "[" * depth + "]" * depth + "}"
    return text


def _places(document):
    """All (holder, key) of a document."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in list(items):
        yield document, key
        yield from _places(value)
