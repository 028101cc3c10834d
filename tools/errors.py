"""The one exception for mistakes that the user can mend: shown as one line, never with a traceback."""

from __future__ import annotations


class UserError(Exception):
    """A mistake in what the user gave, told as where it is, what is wrong and how to mend it."""

    def __init__(self, where: object, what: str, mend: str) -> None:
        super().__init__(f"{where}: {what}; {mend}")
        self.where = str(where)
        self.what = what
        self.mend = mend
