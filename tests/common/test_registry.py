"""Kinds by name: modules of a package, and entry points of installed packages."""

import sys
from pathlib import Path

import pytest

from aerocast.common.errors import AeroCastError
from aerocast.common.registry import Registry
from tests.factories.kinds import Animal
from tests.factories.packages import install

GROUP = "aerocast.test_animals"


ABSTRACT = """
from abc import ABC, abstractmethod

class Kind(Animal, ABC):
    kind = "bird"

    @abstractmethod
    def sing(self): ...
"""


@pytest.fixture
def animals() -> Registry[Animal]:
    return Registry(Animal, "tests.factories.kinds", GROUP)


def bring(folder: Path, package: str, source: str) -> None:
    install(folder, package, GROUP, "bird", f"from tests.factories.kinds import Animal\n{source}\n")


def test_kind_is_found_by_module_name(animals: Registry[Animal]) -> None:
    assert animals.names() == ["cat", "dog", "empty"]
    assert animals.find("cat").kind == "cat"


def test_lookup_imports_only_requested_kind(animals: Registry[Animal]) -> None:
    sys.modules.pop("tests.factories.kinds.dog", None)
    animals.find("cat")
    assert animals.names()
    assert "tests.factories.kinds.dog" not in sys.modules
    animals.find("dog")
    assert "tests.factories.kinds.dog" in sys.modules


def test_installed_package_adds_kind(animals: Registry[Animal], installed: Path) -> None:
    bring(installed, "registry_bird", "class Kind(Animal):\n    kind = 'bird'")
    assert animals.names() == ["cat", "dog", "empty", "bird"]
    assert animals.find("bird").kind == "bird"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("class Kind(Animal):\n    kind = 'fish'", "defines 0 classes of kind 'bird'"),
        ("Kind = 3", "defines 0 classes of kind 'bird'"),
        (
            "class Kind(Animal):\n    kind = 'bird'\n    __abstractmethods__ = frozenset({'sing'})",
            r"does not define sing",
        ),
        ("raise RuntimeError('no wings')", r"kind 'bird' \(registry_bird:Kind\) cannot be imported: no wings"),
    ],
)
def test_entry_point_without_class_names_package(
    animals: Registry[Animal], installed: Path, source: str, told: str
) -> None:
    bring(installed, "registry_bird", source)
    with pytest.raises(AeroCastError, match=told):
        animals.find("bird")


def test_two_packages_of_one_kind_are_both_named(animals: Registry[Animal], installed: Path) -> None:
    for package in ("registry_one", "registry_two"):
        bring(installed, package, "class Kind(Animal):\n    kind = 'bird'")
    with pytest.raises(AeroCastError, match="several packages: registry_one, registry_two"):
        animals.find("bird")


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("cow", "'cow' is not allowed: .*one of cat, dog, empty"),
        ("_helper", "'_helper' is not allowed"),
        ("empty", "0 classes"),
        ("../cat", "is not allowed"),
    ],
)
def test_class_without_base_is_refused(animals: Registry[Animal], kind: str, told: str) -> None:
    with pytest.raises(AeroCastError, match=told):
        animals.find(kind)
