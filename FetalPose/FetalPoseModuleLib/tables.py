"""The tables of lengths and landmarks as widgets: a column each for the name, the value, and what to check."""

from collections.abc import Sequence

import qt
from slicer.i18n import tr as _

from FetalPoseLib.session import LandmarkRow, LengthRow, MeasureRow

NAME, VALUE, CHECK = range(3)  # the columns; in the table of lengths and of sizes the interval comes last
INTERVAL = 3


def setUpLengths(table, rows: Sequence[LengthRow]) -> None:
    """Give the table of lengths its size, and its segments their names and colours."""
    _setUp(table, [_("Segment"), _("Length (mm)"), _("Check"), _("90 % (mm)")], rows)
    for i, row in enumerate(rows):
        table.item(i, NAME).setIcon(swatch(row.color))
    _intervalBeforeNotes(table)


def setUpLandmarks(table, rows: Sequence[LandmarkRow]) -> None:
    """Give the table of landmarks its size, and its landmarks their names and descriptions."""
    _setUp(table, [_("Landmark"), _("Confidence"), _("Check")], rows)
    for i, row in enumerate(rows):
        table.item(i, NAME).setToolTip(row.description)


def setUpSizes(table, rows: Sequence[MeasureRow]) -> None:
    """Give the table of size, age and posture its rows."""
    _setUp(table, [_("Measure"), _("Value"), _("Note"), _("90 % within")], rows)
    _intervalBeforeNotes(table)
    table.minimumHeight = 0  # it scrolls: the panel is to be no higher for it
    table.setColumnWidth(VALUE, 65)


def showSizes(table, rows: Sequence[MeasureRow]) -> None:
    """Show the values of these rows, their intervals and notes. Only what has changed is drawn again."""
    for i, row in enumerate(rows):
        setText(table.item(i, VALUE), row.text)
        setText(table.item(i, CHECK), row.note)
        table.item(i, CHECK).setToolTip(row.note)
        setText(table.item(i, INTERVAL), row.interval)


def showRows(table, rows: Sequence[LengthRow | LandmarkRow]) -> None:
    """Show the values and the marks of these rows. Only what has changed is drawn again."""
    for i, row in enumerate(rows):
        setText(table.item(i, VALUE), row.text)
        check = table.item(i, CHECK)
        setText(check, row.mark)
        check.setToolTip("\n".join(row.reasons))
        if isinstance(row, LengthRow):
            setText(table.item(i, INTERVAL), row.interval)
    if table.columnCount > INTERVAL:
        table.setColumnHidden(INTERVAL, not any(isinstance(row, LengthRow) and row.interval for row in rows))


def setText(item, text: str) -> None:
    """Set an item's text if it is another one."""
    if item.text() != text:
        item.setText(text)


def swatch(color: Sequence[float]) -> "qt.QIcon":
    """A small square of a colour, red, green and blue in 0..1."""
    pixmap = qt.QPixmap(12, 12)
    pixmap.fill(qt.QColor(*(int(round(255 * value)) for value in color)))
    return qt.QIcon(pixmap)


def _intervalBeforeNotes(table) -> None:
    """Show the interval beside the value; the last column, which takes the width that is left, is for sentences."""
    table.horizontalHeader().moveSection(INTERVAL, CHECK)
    table.setColumnWidth(CHECK, 40)
    table.setColumnWidth(INTERVAL, 90)


def _setUp(table, headers: list[str], rows: Sequence[LengthRow | LandmarkRow | MeasureRow]) -> None:
    table.columnCount = len(headers)
    table.rowCount = len(rows)
    table.setHorizontalHeaderLabels(headers)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(20)
    table.horizontalHeader().setStretchLastSection(True)
    table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
    table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    table.minimumHeight = 20 * len(rows) + 32
    for i, row in enumerate(rows):
        for column in range(len(headers)):
            table.setItem(i, column, qt.QTableWidgetItem(""))
        table.item(i, NAME).setText(row.label)
        table.item(i, VALUE).setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
    table.setColumnWidth(NAME, 150)
    table.setColumnWidth(VALUE, 85)
