"""Feed as a Dagster component: a declaration in `defs/<feed>/defs.yaml` in, its asset graph out."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any, Self

import dagster as dg
import yaml
from pydantic import BaseModel, ConfigDict

from aerocast.feed.declaration import Feed
from aerocast_assets.labels import OWNERS
from aerocast_assets.origin import origin, origin_metadata

TEMPLATE = Path(__file__).parent / "new_feed.yaml"


def template(type_name: str, name: str) -> tuple[str, Feed]:
    """A whole declaration of a feed of this name, explained line by line, and the feed."""
    text = TEMPLATE.read_text(encoding="utf-8").replace("{type}", type_name).replace("{name}", name)
    return text, Feed.parse(yaml.safe_load(text)["attributes"], where=name)


class FeedScaffolder(dg.Scaffolder[BaseModel]):
    """`dg scaffold defs aerocast_assets.component.FeedComponent <name>`: a whole declaration, explained.

    Its columns and stations are examples: a feed that takes readings through the channels, to be made one's own.
    """

    def scaffold(self, request: dg.ScaffoldRequest[BaseModel]) -> None:
        text, _ = template(request.type_name, request.target_path.name)
        request.target_path.mkdir(parents=True, exist_ok=True)
        (request.target_path / "defs.yaml").write_text(text, encoding="utf-8")


class FeedAttributes(Feed):
    """The attributes of a feed's declaration, as `dg` and Dagster's pages of components show them."""

    model_config = ConfigDict(defer_build=True)  # only they need it

    @classmethod
    def model_json_schema(cls, *args: Any, **options: Any) -> dict[str, Any]:
        """The feed's schema with the scaffolded declaration as its example."""
        schema = super().model_json_schema(*args, **options)
        for part in (schema, *schema["$defs"].values()):
            # Dagster's template of a declaration has it in a comment of one line.
            part["description"] = " ".join(part["description"].split())
        _, feed = template("", "garden")
        return {**schema, "title": "Feed", "examples": [feed.model_dump(mode="json", exclude_unset=True)]}


@dg.scaffold_with(FeedScaffolder)
class FeedComponent(dg.Component):
    """One feed: readings in, tables, candidates, champion, forecasts and their checks out.

    A declaration makes the whole asset graph of a feed with its jobs, sensors and schedules; docs/feeds.md explains it,
    `aerocast check` names its mistakes.
    """

    def __init__(self, feed: Feed, declaration: dg.LocalFileCodeReference | None = None) -> None:
        """`declaration` is where the feed is declared; without it Dagster adds that to the definitions."""
        self.feed, self.declaration = feed, declaration

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        return FeedAttributes

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        produces = ("asset", "asset_check", "job", "sensor", "schedule")
        return dg.ComponentTypeSpec(owners=OWNERS, tags=["forecasting", "time-series"], produces=produces)

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

        with origin(self, self.declaration) if self.declaration else nullcontext():
            return feed_definitions(self.feed)

    def with_origin(self, defs: dg.Definitions) -> dg.Definitions:
        """The definitions of `build_defs` with the component on jobs, sensors and schedules, too."""
        assert self.declaration
        with origin(self, self.declaration):
            own = origin_metadata()
        assets = dg.Definitions(assets=defs.assets, asset_checks=defs.asset_checks)
        starters = dg.Definitions(jobs=defs.jobs, sensors=defs.sensors, schedules=defs.schedules)
        return dg.Definitions.merge(
            assets, starters.with_definition_metadata_update(lambda metadata: {**metadata, **own})
        )
