"""When things run. Conditions that assets carry are in `aerocast_assets.keys`; sensors and schedules live here."""
