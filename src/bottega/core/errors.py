"""The one base of every anticipated error.

An AppError carries a stable `code`, a sentence a person can act on, and the HTTP status an edge would give it.
Subclasses live beside the function that raises them and carry facts. Anything that is not an AppError is a defect:
it is logged once with an error id where it surfaces, and the person gets a kind sentence.
No sentence repeats a secret: a provider may echo the key it refuses, a person may paste one where a name belongs.
"""

from typing import ClassVar

from bottega.core.redaction import redacted


class AppError(Exception):
    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500

    def __init__(self, message: str) -> None:
        self.message = redacted(message)
        super().__init__(self.message)
