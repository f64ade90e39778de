"""Feed as a Dagster component: a declaration in `defs/<feed>/defs.yaml` in, its asset graph out."""

from pathlib import Path
from typing import Self

import dagster as dg
import yaml
from pydantic import BaseModel

from aerocast.feed.model import Feed

TEMPLATE = Path(__file__).parent / "new_feed.yaml"


class FeedScaffolder(dg.Scaffolder[BaseModel]):
    """`dg scaffold defs aerocast_assets.component.FeedComponent <name>`: a whole declaration, explained.

    Its columns and stations are examples: a feed that takes readings through the channels, to be made one's own.
    """

    def scaffold(self, request: dg.ScaffoldRequest[BaseModel]) -> None:
        name = request.target_path.name
        text = TEMPLATE.read_text(encoding="utf-8").replace("{type}", request.type_name).replace("{name}", name)
        Feed.parse(yaml.safe_load(text)["attributes"], where=name)
        request.target_path.mkdir(parents=True, exist_ok=True)
        (request.target_path / "defs.yaml").write_text(text, encoding="utf-8")


@dg.scaffold_with(FeedScaffolder)
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
