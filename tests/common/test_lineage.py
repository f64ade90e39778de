"""Hashes: the same content in any order is the same, anything else is not."""

import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aerocast.common.lineage import code_version, config_hash, digest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1), JSON, min_size=1, max_size=4))
def test_digest_ignores_order_of_fields(parts: dict[str, object]) -> None:
    backwards = dict(reversed(list(parts.items())))
    assert config_hash(part=parts) == config_hash(part=backwards)


def same(one: object, other: object) -> bool:
    """Whether two pieces of JSON data say the same: 1, 1.0 and true are three, and so are 0.0 and -0.0 two."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


@given(JSON, JSON)
@example([0], [0.0])
@example([True], [1])
def test_digest_differs_for_different_content(one: object, other: object) -> None:
    assert (config_hash(part=one) == config_hash(part=other)) == same(one, other)


def test_digest_of_value_without_canonical_text_is_refused() -> None:
    with pytest.raises(TypeError):
        config_hash(part=object())
    with pytest.raises(ValueError, match="Out of range float"):
        config_hash(part=float("nan"))


def test_config_hash_changes_with_code_version() -> None:
    assert code_version("aerocast.tables.silver") != code_version("aerocast.tables.quality")
    assert code_version("aerocast.tables.silver") == code_version("aerocast.tables.silver", "aerocast.common.units"), (
        "which it imports"
    )
    assert re.fullmatch(r"[0-9a-f]{12}", code_version("aerocast.models.kinds.gru"))


def test_digest_tells_arrays_apart() -> None:
    assert digest(np.zeros(3)) == digest(np.zeros(3))
    assert digest(np.zeros(3)) != digest(np.array([0.0, 0.0, 1e-9]))
