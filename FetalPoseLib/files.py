"""Writing results so that a failure leaves the file that was there before."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from FetalPoseLib.errors import FetalPoseError

_PREFIX = ".fetalpose-"  # of the private folders


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path of the same name in a new private folder beside `path`; takes its place only if the block succeeds.

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
    target = Path(os.path.realpath(path))  # a link stays a link
    try:
        with _private_folder(target.parent) as folder:
            temporary = folder / target.name
            yield temporary
            _check_stored(temporary)
            if target.exists():
                temporary.chmod(target.stat().st_mode & 0o777)
            os.replace(temporary, target)
    except OSError as error:
        raise _cannot_write(path, error) from error


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
    try:
        if not path.parent.is_dir():
            raise FetalPoseError(f"The output folder {path.parent} does not exist. Create it, or choose another.")
        if path.is_dir():
            raise FetalPoseError(f"The output {path} is a folder. Add a file name.")
        with _private_folder(Path(os.path.realpath(path)).parent):
            pass
    except OSError as error:
        raise _cannot_write(path, error) from error


def remove_unfinished(folder: str | Path) -> None:
    """Delete what `replacing` left in `folder` when its process was killed. No other process may be writing there."""
    for unfinished in Path(folder).glob(f"{_PREFIX}*"):
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def _private_folder(parent: Path) -> Iterator[Path]:
    """A new folder that only its owner can enter, with a name that nobody can foresee; deleted at the end."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent) as folder:
        yield Path(folder)


def _check_stored(path: Path) -> None:
    """Have the disk confirm what was written; OSError if the file is empty, as on a full disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    if not path.stat().st_size:
        raise OSError(errno.ENOSPC, "nothing was stored, perhaps because the disk is full")


def _cannot_write(path: str | Path, error: OSError) -> FetalPoseError:
    return FetalPoseError(f"Cannot write {path}: {error.strerror or error}. Choose another place.")
