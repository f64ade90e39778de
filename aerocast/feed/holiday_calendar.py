"""The public holidays of a country, or of a part of it, from the `holidays` package, which is imported when needed."""

import re
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

LAST_YEAR = 2060  # fixed, so that no calendar changes with the year in which it is asked for
_PATTERN = r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$"


@lru_cache(maxsize=64)
def days(region: str, first_year: int) -> tuple[str, ...]:
    """The holidays of a region (ISO 3166: `DE`, `DE-BY`), in order, as dates in ISO 8601.

    Raises:
        ValueError: the package does not know the region.
    """
    import holidays

    country, _, subdivision = region.partition("-")
    try:
        calendar = holidays.country_holidays(
            country, subdiv=subdivision or None, years=range(first_year, LAST_YEAR + 1)
        )
    except NotImplementedError as error:  # how the package says that it has no such region
        raise ValueError(
            f"{region!r} is not a country or part of one that the package `holidays` knows: write a code of ISO 3166"
            " such as DE, or DE-BY for a part"
        ) from error
    return tuple(sorted(day.isoformat() for day in calendar))


def _valid(value: str) -> str:
    if not _is_in_package(value):
        days(value, LAST_YEAR)
    return value


def _is_in_package(region: str) -> bool:
    """Whether the package's files name the region: reading two takes a millisecond, importing the package 200."""
    spec = find_spec("holidays")
    if spec is None or spec.origin is None:
        return False
    country, _, subdivision = region.partition("-")
    folder = Path(spec.origin).parent
    with suppress(OSError, UnicodeDecodeError):
        registry = (folder / "registry.py").read_text()
        module = re.search(rf'^    "(\w+)": \("\w+", "{re.escape(country)}"[,)]', registry, re.MULTILINE)
        if module and subdivision:
            text = (folder / "countries" / f"{module[1]}.py").read_text()
            codes = re.search(r"^    subdivisions\b[^=]*= \((.*?)^    \)", text, re.MULTILINE | re.DOTALL)
            return codes is not None and f'"{subdivision}"' in codes[1]
        return module is not None
    return False


Region = Annotated[
    str, AfterValidator(_valid), WithJsonSchema({"type": "string", "format": "region", "pattern": _PATTERN})
]
