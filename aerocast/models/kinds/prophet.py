"""Prophet: a curve over time alone, to be compared with. It has no ONNX graph, so it never serves.

Taylor and Letham 2018. The curve of a station is fitted once on what may be learned, and drawn on into the rows that
judge. Prophet takes no newest readings; so that it is worth comparing a few steps ahead, a share of what the newest
reading lies off the curve is added, which validation rows choose for each horizon.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from aerocast.feed.model_kind import Count, Log, Model, Parameters, Positive

if TYPE_CHECKING:
    from aerocast.features.dataset import Dataset, Rows
    from aerocast.features.grid import Floats
    from aerocast.models.kinds._prophet import Curves


class ProphetParameters(Parameters):
    """Prophet's curve for each station, and a share of what the newest reading lies off it; it cannot serve."""

    changepoint_prior_scale: Positive = Field(default=0.05, description="How readily the trend bends")
    seasonality_prior_scale: Positive = Field(default=10.0, description="How large seasons may be")
    holidays_prior_scale: Positive = Field(default=10.0, description="How large the effect of a holiday may be")
    seasonality_mode: Literal["additive", "multiplicative"] = Field(
        default="additive", description="Whether seasons are added to the trend, or grow with it"
    )
    newest: Count = Field(default=20_000, description="Newest readings of a station that are learned")


@dataclass(frozen=True)
class Prophet(Model[ProphetParameters]):
    curves: Curves
    shares: Floats  # (H,)
    last: int

    kind = "prophet"
    title = "Prophet"
    description = (
        "Trend, seasons and holidays of each station by the time alone, and a share of what the newest reading lies off"
        " them. It has no ONNX graph: it is compared with the others, and never serves."
    )
    parameters = ProphetParameters
    needs = {"prophet": "aerocast[prophet]"}
    serves = False
    takes_covariates = False
    takes_origins = True

    @classmethod
    def fit(cls, data: Dataset, parameters: ProphetParameters, log: Log) -> Self:
        """Chooses the shares on validation rows, which the curves have not seen."""
        from aerocast.models.kinds._prophet import Curves, choose_shares

        curves = Curves.of(data, data.train, parameters)
        return cls(curves, choose_shares(curves, data, log), data.last)

    def refit(self, data: Dataset, rows: Rows) -> Self:
        return replace(self, curves=type(self.curves).of(data, rows, self.curves.parameters))

    def predict(self, x: Floats) -> Floats:
        """The newest value where a station has no curve."""
        return x[:, [self.last]] + self.curves.change(x, self.shares)
