"""The error that people see: one sentence that says what is wrong, to be acted on without a traceback."""


class AeroCastError(Exception):
    """Something outside the code is wrong (file, disk, declaration, request); the message says what, and what to do."""
