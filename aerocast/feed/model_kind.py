"""The interface of model kinds; it imports no heavy library, because a declaration imports the kinds that it names.

Every kind predicts the CHANGE from the last value, in one model over all stations; `predict` and the ONNX graph give
levels. A graph takes `features` float32 (n, F), NaN for missing, and gives `forecast` float32 (n, H).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, NamedTuple, Self, TypeVar

from pydantic import Field, ValidationError

from aerocast.common.declaration import Mistake, Strict, mistakes
from aerocast.common.errors import AeroCastError
from aerocast.common.registry import Registry

if TYPE_CHECKING:
    import onnx

    from aerocast.features.dataset import Dataset, Rows
    from aerocast.features.grid import Floats

Log = Callable[[int, Mapping[str, float]], None]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Search(NamedTuple):
    """Beside a parameter's type: tuning looks for it from `low` to `high`, evenly in logarithms if `log`."""

    low: float
    high: float
    log: bool = False


class Untrainable(AeroCastError):
    """A kind cannot be trained from these rows or on this machine, and nothing else depends on it."""


class Parameters(Strict):
    """The parameters that every kind of model has."""

    seed: int = Field(
        default=0, ge=0, description="Seed of the random numbers; the same seed and rows give the same model"
    )


P = TypeVar("P", bound=Parameters)


def silent(_step: int, _metrics: Mapping[str, float]) -> None:
    """Logs nothing."""


class Model(ABC, Generic[P]):
    """A kind of model: the class describes the kind and what it can do, an instance is a fitted model.

    The module of a kind is imported to check a declaration, so it imports numpy, torch and the like in its functions.
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]  # one sentence: what it is, and what it is good at
    loss: ClassVar[str] = "validation_rmse"  # `<loss>_<horizon>` is what `fit` logs and is chosen by
    parameters: type[P]

    serves: ClassVar[bool] = True  # it has `to_onnx`; what has not is scored and never promoted
    needs: ClassVar[Mapping[str, str]] = {}  # modules that it cannot do without, and what to install for them
    takes_covariates: ClassVar[bool] = True  # else it gets no features of columns outside the window
    takes_origins: ClassVar[bool] = False  # it gets the date of each row (`aerocast.features.origin`); it cannot serve
    needs_cuda: ClassVar[bool] = False
    is_baseline: ClassVar[bool] = False  # a yardstick: it learns nothing and can never win
    learns_sequences: ClassVar[bool] = False  # it learns and answers what short requests hold, and no whole windows
    is_seeded: ClassVar[bool] = False  # another seed gives another model

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        missing = [name for name in ("kind", "title", "description", "parameters") if not hasattr(cls, name)]
        missing += ["to_onnx"] if cls.serves and cls.to_onnx is Model.to_onnx else []
        if missing:
            raise TypeError(f"{cls.__qualname__} does not define {', '.join(missing)}")
        if cls.serves and cls.takes_origins:
            raise TypeError(f"{cls.__qualname__} takes origins, which a server's rows do not have")

    @classmethod
    def lacking(cls) -> list[str]:
        """What must be installed before this kind can be declared, a sentence each."""
        return [
            f"{cls.kind!r} needs the module {module}, which is not installed: pip install '{package}'"
            for module, package in cls.needs.items()
            if find_spec(module) is None
        ]

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> P:
        """The parameters that a declaration gives.

        Raises:
            AeroCastError: every mistake, with its field and what is allowed.
        """
        try:
            return cls.parameters.model_validate(dict(raw))
        except ValidationError as error:
            wrong = [Mistake(("candidates", cls.kind, *place), text) for place, text in mistakes(error)]
            raise AeroCastError("; ".join(map(str, wrong))) from None

    @classmethod
    def searches(cls) -> dict[str, Search]:
        """What tuning may change, and where it looks."""
        fields = cls.parameters.model_fields.items()
        return {name: each for name, field in fields for each in field.metadata if isinstance(each, Search)}

    @classmethod
    def learn(cls, data: Dataset, raw: Mapping[str, Any] | None = None, log: Log = silent) -> Self:
        """A fitted model; `log(step, metrics)` is called each epoch or round. Same seed and rows, same model.

        Raises:
            AeroCastError: a wrong parameter, named; or no usable rows to learn from.
        """
        parameters = cls.parse(raw or {})
        if role := data.unmeasured:
            raise AeroCastError(f"{cls.kind}: no {role} rows with a measured {data.spec.target} at every horizon")
        return cls.fit(data, parameters, log)

    @classmethod
    @abstractmethod
    def fit(cls, data: Dataset, parameters: P, log: Log) -> Self:
        """As `learn`, with valid parameters and usable rows."""

    def refit(self, data: Dataset, rows: Rows) -> Self:
        """The same choices, fitted on `rows` in place of `data`'s training rows; a kind that cannot stays as it is."""
        return self

    @abstractmethod
    def predict(self, x: Floats) -> Floats:
        """Levels (n, H) float32 in target units from features (n, F)."""

    def decisive(self, at: int) -> tuple[int, ...]:
        """The columns that decide most at the horizon of this index, the first the most; none if it cannot tell.

        Where a kind tells, trees of these follow the bounds of its intervals.
        """
        return ()

    def to_onnx(self) -> onnx.ModelProto:
        """The same function as a self-contained graph, any number of rows; a kind that `serves` defines it."""
        raise AeroCastError(f"{self.kind} has no graph: it cannot serve")


MODELS: Registry[Model[Any]] = Registry(Model, "aerocast.models.kinds", "aerocast.models")
# Trained beside the candidates that a declaration names; its graph answers short sequences, whichever of them serves.
SEQUENCE = "sequence"


def model(name: str) -> type[Model[Any]]:
    """The class behind a declared kind, or SEQUENCE.

    Raises:
        AeroCastError: there is no such kind.
    """
    if name == SEQUENCE:
        # By its name, or what fits it would count as code of every kind (`aerocast.common.closure`).
        sequence: type[Model[Any]] = import_module("aerocast.models.kinds._sequence").Sequence
        return sequence
    return MODELS.find(name)
