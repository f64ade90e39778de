"""What `candidates.<kind>` of a declaration may say, one small model a kind; light, for the declaration imports it."""

from typing import Annotated, Any

from pydantic import Field, ValidationError

from aerocast.declaration import Mistake, Strict, mistakes
from aerocast.errors import AeroCastError

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Params(Strict):
    """Common to all kinds: where randomness starts."""

    seed: Annotated[int, Field(ge=0)] = 0


class BaselineParams(Params):
    """A baseline has nothing to set."""


class LinearParams(Params):
    """Ridge: the penalties to try; validation rows choose one for each horizon."""

    penalties: Annotated[tuple[Positive, ...], Field(min_length=1)] = (30.0, 300.0, 3000.0, 10000.0, 30000.0)


class XgboostParams(Params):
    """Boosted trees, one model a horizon; `rounds` is the most that early stopping may use.

    From `calm_from` steps ahead on the trees are shallow (`calm_depth`), for there the data hold few independent cases.
    """

    rounds: Count = 600
    patience: Count = 40
    rate: Annotated[float, Field(gt=0, le=1)] = 0.06
    depth: Count = 5
    calm_depth: Count = 3
    calm_from: Count = 12
    rows: Annotated[float, Field(gt=0, le=1)] = 0.7
    columns: Annotated[float, Field(gt=0, le=1)] = 0.3
    leaf: Positive = 20.0
    threads: Count = 1


class GruParams(Params):
    """A recurrent net over the newest steps; `members` nets of different seeds are averaged inside one graph.

    The head's second dropout is twice `dropout`; horizons from `calm_from` on come from nets with `calm_dropout`.
    """

    hidden: Count = 32
    head: Count = 64
    members: Count = 2
    epochs: Count = 14
    patience: Count = 3
    rate: Positive = 3e-3
    decay: Annotated[float, Field(ge=0)] = 0.05
    dropout: Annotated[float, Field(ge=0, lt=0.5)] = 0.15
    calm_dropout: Annotated[float, Field(ge=0, lt=0.5)] = 0.35
    calm_from: Count = 12
    batch: Annotated[int, Field(ge=2)] = 512
    threads: Count = 1


PARAMS: dict[str, type[Params]] = {
    "gru": GruParams,
    "xgboost": XgboostParams,
    "linear": LinearParams,
    "persistence": BaselineParams,
    "seasonal_naive": BaselineParams,
}


def parse(kind: str, raw: dict[str, Any]) -> Params:
    """The parameters of a kind.

    Raises:
        AeroCastError: an unknown kind, or every mistake in `raw` with its field and what is allowed.
    """
    model = PARAMS.get(kind)
    if model is None:
        raise AeroCastError(f"candidates.{kind}: no such kind; allowed: {', '.join(PARAMS)}")
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        found = [Mistake(("candidates", kind, *place), text) for place, text in mistakes(error)]
        raise AeroCastError("; ".join(map(str, found))) from None
