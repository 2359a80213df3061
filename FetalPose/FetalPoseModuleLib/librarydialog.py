"""The window that lists the poses of *My library* and removes them."""

from collections.abc import Callable

import qt
from slicer.i18n import tr as _

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.session import OwnLibrary
from FetalPoseModuleLib.statusline import ORANGE

POSE, ADDED, LENGTH = range(3)  # the columns


class LibraryDialog:
    """Lists a person's own poses, the oldest first. *Remove* takes the selected one out of the file at once.

    Parameters
    ----------
    library : callable
        What the library holds now; FetalPoseError if it cannot be read.
    remove : callable
        Removes the pose of this name; FetalPoseError if it cannot.
    confirm : callable
        Asks the person a question, and says whether the answer is yes.
    parent : QWidget, optional
        Over which the window opens.

    Example
    -------
    >>> LibraryDialog(session.own_library, session.remove_from_library, dialogs.confirm).exec_()
    """

    def __init__(
        self,
        library: Callable[[], OwnLibrary],
        remove: Callable[[str], object],
        confirm: Callable[[str], bool],
        parent=None,
    ):
        self._library, self._remove, self._confirm = library, remove, confirm
        self._names: list[str] = []
        self.window = qt.QDialog(parent)
        self.window.setWindowTitle(_("My library"))
        self.table = self._makeTable()
        self.note = qt.QLabel()
        self.note.setTextFormat(qt.Qt.PlainText)  # names come from a file
        self.note.wordWrap = True
        self.removeButton = qt.QPushButton(_("Remove"))
        self.removeButton.toolTip = _("Take the selected pose out of the library. Refinement no longer uses it.")
        self.removeButton.clicked.connect(lambda *_checked: self.removeSelected())
        closeButton = qt.QPushButton(_("Close"))
        closeButton.clicked.connect(lambda *_checked: self.window.accept())
        self.table.itemSelectionChanged.connect(self._updateButton)
        buttons = qt.QHBoxLayout()
        buttons.addWidget(self.removeButton)
        buttons.addStretch(1)
        buttons.addWidget(closeButton)
        layout = qt.QVBoxLayout()
        layout.addWidget(self.table)
        layout.addWidget(self.note)
        layout.addLayout(buttons)
        self.window.setLayout(layout)
        self.window.resize(420, 320)
        self.update()

    def exec_(self) -> None:
        """Show the window until the person closes it."""
        self.window.exec_()
        self.window.deleteLater()

    def update(self) -> None:
        """Show what the library holds now, or why it cannot be read."""
        try:
            library = self._library()
        except FetalPoseError as error:
            self._fill(OwnLibrary())
            self._say(str(error), isWarning=True)
            return
        self._fill(library)
        if library.left_out:
            sentences = [*library.left_out, _("The next change of the library takes this out of the file.")]
            self._say("\n".join(sentences), isWarning=True)
        elif library.poses:
            self._say(_("{count} poses, which refinement and checks use.").format(count=len(library.poses)))
        else:
            self._say(_("There is no pose yet. 'Add to my library' puts the corrected pose here."))

    def removeSelected(self) -> None:
        """Ask, then remove the selected pose."""
        row = self.table.currentRow()
        if not self.removeButton.enabled or row < 0:
            return
        name = self._names[row]
        if not self._confirm(_("Remove the pose {name} from your library? It cannot be undone.").format(name=name)):
            return
        try:
            self._remove(name)
        except FetalPoseError as error:  # another program has removed it, or the file cannot be written
            self.update()
            self._say(str(error), isWarning=True)
            return
        self.update()

    def _makeTable(self):
        table = qt.QTableWidget()
        headers = [_("Pose"), _("Added"), _("Crown-rump length")]
        table.columnCount = len(headers)
        table.setHorizontalHeaderLabels(headers)
        table.verticalHeader().hide()
        table.horizontalHeader().setStretchLastSection(True)
        table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
        table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        table.setColumnWidth(POSE, 130)
        table.setColumnWidth(ADDED, 110)
        return table

    def _fill(self, library: OwnLibrary) -> None:
        self._names = [pose.name for pose in library.poses]
        self.table.clearSelection()
        self.table.rowCount = len(library.poses)
        for row, pose in enumerate(library.poses):
            length = _("{mm:.1f} mm").format(mm=pose.crl_mm)
            for column, text in ((POSE, pose.name), (ADDED, pose.added or _("not known")), (LENGTH, length)):
                self.table.setItem(row, column, qt.QTableWidgetItem(text))
        self._updateButton()

    def _updateButton(self) -> None:
        self.removeButton.enabled = bool(self.table.selectedItems())

    def _say(self, text: str, *, isWarning: bool = False) -> None:
        self.note.styleSheet = f"color: {ORANGE};" if isWarning else ""
        self.note.text = text
