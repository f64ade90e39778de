"""What is wrong with readings that cannot be taken at all: field, value and rule.

The server imports this module: msgspec and the standard library only.
"""

from msgspec import UNSET

from aerocast.common.errors import AeroCastError

TEXT_LIMIT = 300  # characters of a value, or of names, in a message


class ReadingError(AeroCastError):
    """Readings that no judge could read: `field` holds `value`, and the `rule` says what is allowed.

    `index` is the reading's place in its body, from 0, None where there is but one; `slug` names the kind of fault.
    """

    def __init__(
        self,
        field: str,
        value: object,
        rule: str,
        where: str = "",
        *,
        index: int | None = None,
        slug: str = "invalid-field",
        detail: str | None = None,
    ) -> None:
        self.field, self.sent, self.rule, self.index, self.slug = field, value, rule, index, slug
        self.value = "missing" if value is UNSET else excerpt(value)
        self.detail = detail or f"{'' if index is None else f'Reading {index}: '}{field} must be {rule}."
        where = where or ("" if index is None else f"reading {index}")
        super().__init__(f"{where + ': ' if where else ''}{field} is {self.value}; allowed: {rule}")


def excerpt(value: object) -> str:
    """A value for a message: as it was sent, without what is too long to read."""
    if not isinstance(value, str | bytes):
        return repr(value)[:TEXT_LIMIT]
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    return repr(text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "...")
