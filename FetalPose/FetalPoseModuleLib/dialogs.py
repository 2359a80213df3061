"""All that opens a window."""

import html
from collections.abc import Callable

import qt
import slicer
from slicer.i18n import tr as _

from FetalPoseLib.session import OwnLibrary
from FetalPoseModuleLib.librarydialog import LibraryDialog


class Dialogs:
    """The application's own windows. Each waits for the person, and gives the answer."""

    def confirm(self, question: str) -> bool:
        """Whether the person says yes."""
        text = html.escape(question).replace("\n", "<br>")  # names may come from files, and windows show HTML
        return bool(slicer.util.confirmYesNoDisplay(f"<qt>{text}</qt>", windowTitle=_("Fetal Pose")))

    def openFile(self, title: str, types: str) -> str:
        """The file to read, "" if none was chosen."""
        return qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, "", types)

    def saveFile(self, title: str, name: str, types: str) -> str:
        """The file to write, "" if none was chosen."""
        return qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, name, types)

    def folder(self, title: str) -> str:
        """A folder, "" if none was chosen."""
        return qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title)

    def library(self, library: Callable[[], OwnLibrary], remove: Callable[[str], object]) -> None:
        """List the poses of the person's own library, and remove those that the person chooses."""
        LibraryDialog(library, remove, self.confirm, slicer.util.mainWindow()).exec_()
