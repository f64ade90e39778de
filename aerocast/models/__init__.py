"""Kinds of models, one file each: `<kind>.py` defines a class with its parameters, what it can do, fit, predict, graph.

A module that begins with an underscore is no kind: it is what kinds share, or their arithmetic with numpy or torch. Who
trains, judges and serves models is not here, nor how features are made. A kind of one's own is an entry point of the
group `aerocast.models` in an installed package, whose value is such a class; nothing of this project names it.
"""

from importlib import import_module
from typing import Any

from aerocast.models._base import Log, Model, Parameters, Untrainable, silent
from aerocast.registry import Registry

__all__ = ["MODELS", "SEQUENCE", "Log", "Model", "Parameters", "Untrainable", "model", "silent"]

MODELS: Registry[Model[Any]] = Registry(Model, "aerocast.models", "aerocast.models")
# Trained beside the candidates that a declaration names; its graph answers short sequences, whichever of them serves.
SEQUENCE = "sequence"


def model(name: str) -> type[Model[Any]]:
    """The class behind a declared kind, or SEQUENCE.

    Raises:
        AeroCastError: there is no such kind.
    """
    if name == SEQUENCE:
        # By its name, or what fits it would count as code of every kind (`aerocast.closure`).
        sequence: type[Model[Any]] = import_module("aerocast.models._sequence").Sequence
        return sequence
    return MODELS.find(name)
