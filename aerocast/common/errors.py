"""The one error that people see: a sentence naming what was wrong, with no traceback needed to act on it."""


class AeroCastError(Exception):
    """Something outside the code is wrong (file, disk, declaration, request); the text says what and what to do."""
