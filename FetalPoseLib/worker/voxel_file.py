"""A volume's voxels on their way to the network's process: a copy of a patient's data that nothing leaves behind.

Where the system shows a process's open files as paths (Linux), the file never has a name: it ends with the process that
wrote it, however that ends. Elsewhere it has one, readable by this user only, which the network's process removes as
soon as the request arrives, and the writing process when the request ends.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import BinaryIO

import numpy as np


class VoxelFile:
    """The voxels of an array in a temporary `.npy` file, open until `close`.

    Raises
    ------
    OSError
        The file cannot be written. Nothing is left then.
    """

    path: Path  #: by which this user's other processes open the file

    def __init__(self, array: np.ndarray):
        self._file: BinaryIO | None = None
        self._named: Path | None = None
        anonymous = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        path = Path(f"/proc/{os.getpid()}/fd/{anonymous.fileno()}")
        try:
            if path.exists():
                self._file, self.path = anonymous, path
            else:
                anonymous.close()
                handle, name = tempfile.mkstemp(prefix="fetalpose-", suffix=".npy")
                self._file, self.path = os.fdopen(handle, "wb"), Path(name)
                self._named = self.path
            np.save(self._file, np.ascontiguousarray(array), allow_pickle=False)
            self._file.flush()
            if self._named is not None:
                self._file.close()  # so that it can be removed on Windows, too
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the file. The process that has opened it reads on."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        if self._named is not None:
            with contextlib.suppress(OSError):
                self._named.unlink(missing_ok=True)


def taken(line: bytes) -> BinaryIO | None:
    """The open file with the voxels of a request, which has no name any more; None if the request has none.

    Called as soon as a line arrives, so that the file does not outlive its owner while earlier requests are answered.
    """
    try:
        message = json.loads(line)
        path = message["volume"]
        if message["kind"] != "estimate" or not isinstance(path, str):
            return None
        file = open(path, "rb")  # noqa: SIM115 (closed by who answers the request)
    except (ValueError, KeyError, TypeError, OSError, RecursionError):
        return None  # answering the request says what is wrong
    if path.startswith("/proc/"):
        return file
    try:
        os.unlink(path)
    except OSError:  # Windows removes no open file: take the voxels along, then remove it
        with file:
            in_memory = io.BytesIO(file.read())
        with contextlib.suppress(OSError):
            os.unlink(path)
        return in_memory
    return file
