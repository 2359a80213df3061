"""The line that says what is going on, and the progress bar above it."""

import slicer

from FetalPoseLib.session import Status

ORANGE = "#e08000"  # of what a person should not overlook


class StatusLine:
    """Shows the session's status, and what else there is to say.

    Parameters
    ----------
    label : QLabel
    bar : QProgressBar
        Visible while something is under way.
    """

    def __init__(self, label, bar):
        self._label, self._bar = label, bar

    def show(self, status: Status) -> None:
        """Show the session's status."""
        if status.steps:
            self.showSteps(status.step, status.steps)
        else:
            self.hideSteps()
        self.say(status.text, isWarning=status.is_warning)

    def say(self, text: str, *, isWarning: bool = False) -> None:
        """Show this text; the progress bar stays as it is."""
        self._label.styleSheet = f"color: {ORANGE};" if isWarning else ""
        self._label.text = text

    def sayNow(self, text: str) -> None:
        """As `say`, and draw it before what comes next keeps the application busy."""
        self.say(text)
        slicer.app.processEvents()

    def showSteps(self, step: int, steps: int) -> None:
        """Show the progress bar, with `step` of `steps` done."""
        self._bar.maximum, self._bar.value, self._bar.visible = steps, step, True

    def hideSteps(self) -> None:
        """Hide the progress bar: nothing is under way."""
        self._bar.visible = False
