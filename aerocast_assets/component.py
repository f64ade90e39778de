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
            DagsterInvalidDefinitionError: there is none.
        """
        if not isinstance(attributes, Feed):
            raise dg.DagsterInvalidDefinitionError(f"{context.path}: attributes: a feed needs its declaration")
        return cls(attributes)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        from aerocast_assets.graph import feed_definitions

        return feed_definitions(self.feed)
