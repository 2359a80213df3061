"""The one exception that a user of FetalPose is meant to read, and names from files as a message may show them."""

import unicodedata
from collections.abc import Callable, Sequence

LISTED = 5  # names that a message lists before it only counts the others
NAME_LENGTH = 60  # characters of a name that a message shows
MESSAGE_LENGTH = 2000  # characters: a message is read by a person


class FetalPoseError(Exception):
    """Something a user can mend: its message says what was wrong, with the value, and how to put it right.

    The message holds no control character and nothing that cannot be encoded, whatever names it quotes.

    Parameters
    ----------
    message : object
        The sentence in English. With ``values`` it is a template, and the code under which a front end finds the
        sentence in another language.
    values : by their names in the template

    Example
    -------
    >>> error = FetalPoseError("The volume '{name}' is empty.", name="Scan")
    >>> str(error)
    "The volume 'Scan' is empty."
    >>> error.translated({"The volume '{name}' is empty.": "Das Volumen '{name}' ist leer."}.get)
    "Das Volumen 'Scan' ist leer."
    """

    def __init__(self, message: object = "", *args: object, **values: object):
        self.template, self.values = str(message), values
        super().__init__(self._readable(self.template), *args)

    def translated(self, translate: Callable[[str], str]) -> str:
        """The message by ``translate``, from an English template to that of the user's language."""
        return self._readable(translate(self.template))

    def _readable(self, template: str) -> str:
        return printable(template.format(**self.values) if self.values else template)[:MESSAGE_LENGTH]


def printable(text: str) -> str:
    """The text without characters that steer a terminal or that UTF-8 cannot hold; line ends and tabs stay."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs") else "\ufffd" for c in text)


def listed(names: Sequence[object]) -> str:
    """The first names, each cut to what a message can show, and how many more there are."""
    shown = [text if len(text) <= NAME_LENGTH else f"{text[:NAME_LENGTH]}..." for text in map(str, names[:LISTED])]
    more = len(names) - len(shown)
    return printable(", ".join(shown)) + (f" and {more} more" if more > 0 else "")
