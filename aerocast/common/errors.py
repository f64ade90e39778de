"""The error that people see: one sentence that says what is wrong, to be acted on without a traceback."""


class AeroCastError(Exception):
    """Something outside the code is wrong (file, disk, declaration, request); the message says what, and what to do."""


def first_line(error: Exception) -> str:
    """The first line of a library's message; the name of its class if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
