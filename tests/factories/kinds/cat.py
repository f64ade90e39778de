"""A kind."""

from tests.factories.kinds import Animal


class Cat(Animal):
    kind = "cat"
