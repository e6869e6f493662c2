"""The `scoring` section: where `tabloop score --sink` puts its answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tabloop.config.data import require_variable_name
from tabloop.config.path_setting import PathSetting
from tabloop.contract.section import Section


class NoSink(Section):
    """None: answers go to a file."""

    kind: Literal["none"] = "none"


class SqlSink(Section):
    """A table that holds one answer a key."""

    kind: Literal["sql"]
    url_env: str | None = Field(
        None, description="The environment variable that holds the database's URL, as SQLAlchemy writes it."
    )
    path: PathSetting | None = Field(
        None, min_length=1, description="An SQLite or DuckDB file instead, relative to the config's folder."
    )
    table: str = Field(min_length=1, description="The table; made from the contract if it is not there.")
    table_schema: str | None = Field(
        None, min_length=1, description="The schema of the table; left out, the connection's own."
    )
    key: tuple[str, ...] = Field(min_length=1, description="The input's columns that tell the rows apart.")

    @field_validator("url_env")
    @classmethod
    def _url_env_is_a_name(cls, url_env: str | None) -> str | None:
        return require_variable_name(url_env)

    @model_validator(mode="after")
    def _one_database(self) -> SqlSink:
        if (self.url_env is None) == (self.path is None):
            raise ValueError("give either url_env or path: one of them says where the database is")
        if len(set(self.key)) != len(self.key):
            raise ValueError("key names a column twice")
        return self


Sink = Annotated[NoSink | SqlSink, Field(discriminator="kind")]


class ScoringConfig(Section):
    """How whole tables are scored."""

    extra_columns: Literal["pass", "refuse"] = Field(
        "pass",
        description="What becomes of columns of the input that the model does not know: they `pass` through "
        "to the output, or `refuse` the input.",
    )
    engine: Literal["local", "ray"] = Field(
        "local",
        description="Where the files of a data set are scored: on the cores of this machine (`local`), or on "
        "a Ray cluster (`ray`): that of `RAY_ADDRESS`, without it one on this machine.",
    )
    sink: Sink = Field(default_factory=NoSink, description="Where `tabloop score INPUT --sink` writes.")
