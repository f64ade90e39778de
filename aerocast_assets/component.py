"""Feed as a Dagster component: a declaration in `defs/<feed>/defs.yaml` in, its asset graph out."""

from typing import Self

import dagster as dg
from pydantic import BaseModel

from aerocast.feed import Feed


class FeedComponent(dg.Component):
    """One feed: readings in, tables, candidates, champion, forecasts and their checks out."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        return Feed

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """The component of a validated declaration.

        Raises:
            DagsterInvalidDefinitionError: the folder and the feed's name differ, so assets could not be found by it.
        """
        if not isinstance(attributes, Feed):
            raise dg.DagsterInvalidDefinitionError(f"{context.path}: attributes: a feed needs its declaration")
        if attributes.name != context.path.name:
            raise dg.DagsterInvalidDefinitionError(
                f"{context.path}: name: {attributes.name!r} must be the folder's name {context.path.name!r}"
            )
        return cls(attributes)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        from aerocast_assets.graph import feed_definitions

        return feed_definitions(self.feed)
