"""Writing results so that a failure leaves the file that was there before."""

import errno
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from FetalPoseLib.errors import FetalPoseError

TEMPORARY_PREFIX = ".fetalpose-"  # of the folders in which files are being written


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


@contextmanager
def locked(path: str | Path, *, wait_s: float = 10.0, advice: str = "Try again later.") -> Iterator[None]:
    """Keep other programs that use this function away from `path` until the block ends; it need not exist.

    The lock is the system's, on a file `.NAME.lock` beside `path`, or `.lock` in it where it is a folder. It ends with
    the process at the latest, and the file with the block; one that a killed process left does no harm.

    Raises
    ------
    FetalPoseError
        Another program has held the lock for ``wait_s`` seconds, or the lock cannot be made.
    """
    path = Path(path)
    beside = path / ".lock" if path.is_dir() else path.with_name(f".{path.name}.lock")
    until = time.monotonic() + wait_s
    while (file := _locked_file(beside)) is None:
        if time.monotonic() >= until:
            raise FetalPoseError(f"{path} is in use by another program. {advice}")
        time.sleep(0.02)
    with file:
        try:
            yield
        finally:
            with suppress(OSError):
                beside.unlink()  # while it is locked: who opened it before sees that it is gone, and makes another
            _unlock(file)
    if sys.platform == "win32":
        with suppress(OSError):  # there an open file cannot be removed, and this one is if another program has it
            beside.unlink()


def _locked_file(path: Path) -> BinaryIO | None:
    """The file at ``path``, open and locked; None if another program has the lock."""
    while True:
        try:
            file = open(path, "a+b")  # noqa: SIM115 (closed by the caller)
        except OSError as error:
            if sys.platform == "win32" and path.exists():
                return None  # just being removed
            raise _cannot_write(path, error) from error
        if not _lock(file):
            file.close()
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        file.close()  # its last owner has removed it meanwhile: what is locked is not what others find


def _lock(file: BinaryIO) -> bool:
    """Whether the lock could be taken. Where the file system has no locks, it counts as taken."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    return True


def _unlock(file: BinaryIO) -> None:
    with suppress(OSError):
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_UN)


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
        if path.is_dir():  # OSError for a name that is too long
            raise FetalPoseError(f"The output {path} is a folder. Add a file name.")
        with _private_folder(Path(os.path.realpath(path)).parent):
            pass
    except OSError as error:
        raise _cannot_write(path, error) from error


def remove_unfinished(folder: str | Path) -> None:
    """Delete what `replacing` left in `folder` when its process was killed. No other process may be writing there."""
    for unfinished in Path(folder).glob(f"{TEMPORARY_PREFIX}*"):
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def _private_folder(parent: Path) -> Iterator[Path]:
    """A new folder that only its owner can enter, with a name that nobody can foresee; deleted at the end."""
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=parent) as folder:
        yield Path(folder)


def _check_stored(path: Path) -> None:
    """Have the disk confirm what was written; OSError if the file is empty, as on a full disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    if not path.stat().st_size:
        raise OSError(errno.ENOSPC, "nothing was stored, perhaps because the disk is full")


def _cannot_write(path: str | Path, error: OSError) -> FetalPoseError:
    return FetalPoseError(f"Cannot write {path}: {error.strerror or error}. Choose another place.")
