"""A kind."""

from tests.kinds import Animal


class Cat(Animal):
    kind = "cat"
