"""The widgets of ctk that FetalPose.ui names, and the module `ctk` that holds them."""

import fnmatch
import re
import types

from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from host.pythonqt import dressed


@dressed
class ctkCollapsibleButton(QWidget):
    """A button that shows and hides the widgets below it."""

    contentsCollapsed = Signal(bool)
    CPP_SIGNALS = ("contentsCollapsed(bool)",)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._collapsed, self._hidden = False, set()
        self._button = QToolButton(self, checkable=True, checked=True)
        self._button.setToolButtonStyle(Qt.ToolButtonTextBesideIcon)
        self._button.setArrowType(Qt.DownArrow)
        self._button.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
        self._button.toggled.connect(lambda on: self._collapse(not on))
        self.setContentsMargins(0, self._button.sizeHint().height(), 0, 0)

    def resizeEvent(self, event):
        self._button.setGeometry(0, 0, self.width, self._button.sizeHint().height())
        super().resizeEvent(event)

    def _collapse(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        self._button.setChecked(not collapsed)
        self._button.setArrowType(Qt.RightArrow if collapsed else Qt.DownArrow)
        self._show_contents()
        self.setMaximumHeight(self._button.sizeHint().height() if collapsed else 16777215)
        self.contentsCollapsed.emit(collapsed)

    def showEvent(self, event):
        super().showEvent(event)
        if self._collapsed:
            self._show_contents()

    def _show_contents(self) -> None:
        """Hide the contents, or bring back those of them that were visible."""
        contents = [child for child in self.children() if child.isWidgetType() and child is not self._button]
        if self._collapsed:
            self._hidden |= {child for child in contents if not child.isHidden()}
        for child in contents:
            child.setVisible(not self._collapsed and (child in self._hidden or not child.isHidden()))

    text = Property(str, lambda self: self._button.text, lambda self, value: self._button.setText(value))
    collapsed = Property(bool, lambda self: self._collapsed, _collapse)


@dressed
class ctkPathLineEdit(QWidget):
    """The path of a file or folder, with a button to browse for it.

    As ctk's (Libs/Widgets/ctkPathLineEdit.cpp), it tells of a path only where the name filters allow it, and so never
    of an empty one; that the text became allowed or ceased to be, `validInputChanged` tells.
    """

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    CPP_SIGNALS = ("currentPathChanged(QString)", "validInputChanged(bool)")
    Files, Dirs = 0x002, 0x001  # of QDir.Filter

    def __init__(self, parent=None):
        super().__init__(parent)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._edit, button = QLineEdit(self), QPushButton("...", self)
        button.setMaximumWidth(30)
        layout.addWidget(self._edit)
        layout.addWidget(button)
        self._filters, self._names = self.Files, []
        self._valid = False
        self._edit.textChanged.connect(self._onText)
        button.clicked.connect(self.browse)

    def browse(self) -> None:
        if self._filters & self.Dirs:
            path = QFileDialog.getExistingDirectory(self)
        else:
            path = QFileDialog.getOpenFileName(self, filter=";;".join(self._names))[0]
        if path:
            self._edit.setText(path)

    def setCurrentPath(self, path: str) -> None:
        self._edit.setText(path)

    def _onText(self, text: str) -> None:
        patterns = [pattern for name in self._names for pattern in re.findall(r"\*\.[^\s)]+", name)] or ["*"]
        valid = bool(text) and any(fnmatch.fnmatch(text, pattern) for pattern in patterns)
        changed, self._valid = valid != self._valid, valid
        if valid:
            self.currentPathChanged.emit(text)
        if changed:
            self.validInputChanged.emit(valid)

    def _setNameFilters(self, names) -> None:
        self._names = list(names)

    def _setFilters(self, filters: int) -> None:
        self._filters = filters

    currentPath = Property(str, lambda self: self._edit.text, setCurrentPath)
    nameFilters = Property("QStringList", lambda self: self._names, _setNameFilters)
    filters = Property(int, lambda self: self._filters, _setFilters)


@dressed
class ctkMessageBox(QMessageBox):
    """A message box; ctk's also remembers *Don't show again*."""


CTK_WIDGETS = (ctkCollapsibleButton, ctkPathLineEdit, ctkMessageBox)


def ctk_module() -> types.ModuleType:
    module = types.ModuleType("ctk")
    for widget in CTK_WIDGETS:
        setattr(module, widget.__name__, widget)
    return module
