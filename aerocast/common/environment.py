"""Variables of the environment within declared texts."""

import os
import re

from aerocast.common.errors import AeroCastError


def expand(text: str, field: str) -> str:
    """The text with each `$NAME` and `${NAME}` replaced by that variable's value; `field` is where it is declared.

    Raises:
        AeroCastError: a variable is not set.
    """
    unset = [name for name in re.findall(r"\$\{?(\w+)\}?", text) if name not in os.environ]
    if unset:
        raise AeroCastError(f"{field} {text!r}: the environment variable {unset[0]} is not set")
    return os.path.expandvars(text)
