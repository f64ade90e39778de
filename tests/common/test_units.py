"""Units: the table that saves an import agrees with pint, and conversions are exact where they can be."""

import pytest

from aerocast.common import units


@pytest.mark.parametrize("unit", sorted(units.USUAL_UNITS))
def test_common_conversions_agree_with_pint(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = units.USUAL_UNITS[unit]
    monkeypatch.setattr(units, "USUAL_UNITS", {name: at for name, at in units.USUAL_UNITS.items() if name != unit})
    assert units.dimension(unit) == said


def test_unknown_unit_has_no_dimension() -> None:
    assert units.dimension("degX") is None
    assert units.dimension("") in (None, "")


@pytest.mark.parametrize(
    ("source", "target", "value", "expected"),
    [
        ("degC", "degF", 100.0, 212.0),
        ("degF", "degC", 14.0, -10.0),
        ("degF", "degF", 13.0, 13.0),
        ("m/s", "km/h", 10.0, 36.0),
        ("inch", "mm", 0.01, 0.254),
        ("mile", "km", 10.0, 16.09344),
        ("kelvin", "degC", 0.0, -273.15),
    ],
)
def test_conversions_are_affine(source: str, target: str, value: float, expected: float) -> None:
    factor, offset = units.conversion(source, target)
    assert value * factor + offset == pytest.approx(expected, abs=1e-12)
