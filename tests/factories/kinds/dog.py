"""A kind."""

from tests.factories.kinds import Animal


class Dog(Animal):
    kind = "dog"
