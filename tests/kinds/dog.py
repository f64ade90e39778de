"""A kind."""

from tests.kinds import Animal


class Dog(Animal):
    kind = "dog"
