"""Writing results so that a failure leaves the file that was there before."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from FetalPoseLib.errors import FetalPoseError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, with its suffixes; takes the place of `path` only if the block succeeds.

    Raises
    ------
    FetalPoseError
        The folder does not exist or cannot be written, or `path` is a folder.

    Example
    -------
    >>> with replacing("lengths.csv") as temporary:
    ...     temporary.write_text("segment,mm\\n")
    """
    check_writable(path)
    temporary = _sibling(Path(path))
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | Path, *suffixes: str) -> None:
    """Complain now, before minutes of work, if `path` cannot be written later or has none of the `suffixes`.

    Raises
    ------
    FetalPoseError
        The suffix is another, the folder does not exist or cannot be written, or `path` is a folder.
    """
    path = Path(path)
    if suffixes and not path.name.lower().endswith(suffixes):
        raise FetalPoseError(f"The output {path} must end in {' or '.join(suffixes)}.")
    if not path.parent.is_dir():
        raise FetalPoseError(f"The output folder {path.parent} does not exist. Create it, or choose another.")
    if path.is_dir():
        raise FetalPoseError(f"The output {path} is a folder. Add a file name.")
    try:
        _sibling(path).touch()
        _sibling(path).unlink()
    except OSError as error:
        raise _cannot_write(path, error) from error


def _sibling(path: Path) -> Path:
    return path.with_name(f".{os.getpid()}-{path.name}")


def _cannot_write(path: str | Path, error: OSError) -> FetalPoseError:
    return FetalPoseError(f"Cannot write {path}: {error.strerror or error}. Choose another place.")
