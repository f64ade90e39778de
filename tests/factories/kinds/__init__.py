"""A package of kinds for `tests/common/test_registry.py`."""

from typing import ClassVar


class Animal:
    kind: ClassVar[str]
