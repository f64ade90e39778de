"""Holidays: known to every release from its feed's first year on, without the package that knows them."""

from pathlib import Path

from aerocast.features.features import feature_names
from aerocast.features.grid import WindowSpec
from aerocast.feed import holiday_calendar
from tests.factories.feeds import small_feed


def test_days_of_country_and_part() -> None:
    assert "2024-10-03" in holiday_calendar.days("DE", 2024)
    assert "2024-11-01" not in holiday_calendar.days("DE", 2024)
    assert "2024-11-01" in holiday_calendar.days("DE-BY", 2024)
    assert min(holiday_calendar.days("DE", 2024)) == "2024-01-01"


def test_stations_have_their_own_holidays_or_the_feeds() -> None:
    stations = [{"id": "A", "holidays": "DE-BY"}, {"id": "B"}]
    spec = WindowSpec.of(small_feed(Path("x.csv"), stations=stations, holidays="DE"), "temperature")
    assert [place.holidays for place in spec.places] == ["DE-BY", "DE"]
    assert [each.name for each in spec.holidays] == ["DE", "DE-BY"]
    assert {"holiday_1", "holiday_6", "mo_1"} <= {*feature_names(spec)}
    assert spec.place_of("unknown").holidays == "DE-BY"
    plain = WindowSpec.of(small_feed(Path("x.csv")), "temperature")
    assert not [name for name in feature_names(plain) if name.startswith("holiday")]
