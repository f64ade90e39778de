"""Which modules make each layer: their code is part of its version. Light, for loading the code location asks."""

from collections.abc import Mapping

# The modules whose code makes each layer; what they import counts too.
MODULES: Mapping[str, tuple[str, ...]] = {
    "bronze": ("aerocast.tables.quality.cleaning", "aerocast.tables.quality.ahead", "aerocast.tables.faults"),
    "silver": ("aerocast.tables.wholeness",),
    "sliding": ("aerocast.tables.sliding",),
    "windows": ("aerocast.tables.training", "aerocast.tables.silver"),
}
