"""What category and text share: lengths, a pattern, and what no text may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import msgspec
from pydantic import Field, StrictInt, field_validator, model_validator

from tabloop.contract.columns.column import (
    ColumnProblem,
    ColumnType,
    InputType,
    JsonSchema,
    Parsed,
    Reader,
    RecordValue,
    Refusal,
    Sampler,
)
from tabloop.contract.columns.database_column import DatabaseColumn, DatabaseFit, SqlType
from tabloop.contract.columns.matching_texts import matching_texts
from tabloop.contract.columns.pattern import whole_text_matcher
from tabloop.contract.formulas.parser import ColumnKind

if TYPE_CHECKING:
    import random

    import numpy as np
    import polars as pl

#: Accepted texts remembered for each column, so that a pattern is tried once for each distinct text.
_MOST_KNOWN_TEXTS: Final = 4096
_LONGEST_KNOWN_TEXT: Final = 256


class TextLikeColumn(ColumnType):
    """Texts: valid Unicode without NUL, of a length and a pattern."""

    formula_kind: ClassVar[ColumnKind] = "text"
    is_json_string: ClassVar[bool] = True

    min_length: StrictInt = Field(0, ge=0, description="Least number of characters.")
    max_length: StrictInt = Field(256, ge=1, le=1_000_000, description="Largest number of characters.")
    pattern: str | None = Field(
        None,
        description="Regular expression that the whole text must match, in linear time: "
        "without look-around and backreferences.",
    )

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            whole_text_matcher(pattern)
        return pattern

    @model_validator(mode="after")
    def _lengths_in_order(self) -> TextLikeColumn:
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is above max_length {self.max_length}")
        return self

    def problem(self, text: str) -> Refusal | None:
        """Check one text, never null.

        Returns
        -------
        problem : Refusal or None
            With the code `text`, `length`, `pattern` or `category`; None when the text is fine.
        """
        if "\0" in text:
            return Refusal("text", "a text without NUL characters")
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            return Refusal("text", "valid Unicode without lone surrogates")
        if len(text) > self.max_length:
            return Refusal("length", f"at most {self.max_length} characters")
        if len(text) < self.min_length:
            return Refusal("length", f"at least {self.min_length} characters")
        if self.pattern is not None and not whole_text_matcher(self.pattern)(text):
            return Refusal("pattern", f"a text that matches {self.pattern}")
        return None

    @property
    def dtype(self) -> pl.DataType:
        """String."""
        import polars as pl

        return pl.String()

    def _accepts(self, dtype: pl.DataType) -> bool:
        return dtype.is_integer()

    def _parse(self, values: pl.Series) -> Parsed:
        import polars as pl

        text = values.cast(pl.String)
        return Parsed(text, text.is_not_null().to_numpy(), "a text")

    def _limits(self, name: str, parsed: pl.Series) -> list[ColumnProblem]:
        """Check each distinct text once, with the same function that checks a single request."""
        found: dict[Refusal, list[str]] = {}
        for text in parsed.drop_nulls().unique(maintain_order=True):
            problem = self.problem(text)
            if problem is not None:
                found.setdefault(problem, []).append(text)
        return [
            ColumnProblem(name, code, expected, parsed.is_in(texts).fill_null(False).to_numpy())
            for (code, expected), texts in found.items()
        ]

    def _json_reader(self) -> Reader:
        refused = Refusal("type", "a text")
        known: set[str] = set()

        def read(value: Any) -> RecordValue | Refusal:
            if not isinstance(value, str):
                return refused
            if value in known:
                return value
            problem = self.problem(value)
            if problem is not None:
                return problem
            if len(value) <= _LONGEST_KNOWN_TEXT:
                if len(known) >= _MOST_KNOWN_TEXTS:
                    known.clear()
                known.add(value)
            return value

        return read

    @property
    def msgspec_type(self) -> Any:
        """A text of the right length; an empty one is null."""
        return Annotated[str, msgspec.Meta(min_length=max(1, self.min_length), max_length=self.max_length)]

    def _json_schema(self) -> JsonSchema:
        # an empty text is null, in a file as in a request, hence never a value
        schema: JsonSchema = {
            "type": "string",
            "minLength": max(1, self.min_length),
            "maxLength": self.max_length,
        }
        if self.pattern is not None:
            schema["pattern"] = f"^(?:{self.pattern})$"
        return schema

    @property
    def input_type(self) -> InputType:
        """A "string", empty where null."""
        return "string"

    def formula_value(self, value: RecordValue) -> RecordValue:
        """Give the text itself: formulas ask only whether it is null."""
        return value

    def texts(self, name: str, rng: random.Random, *, most: int = 200) -> list[str]:
        """Draw distinct texts that the column accepts; see `matching_texts`."""
        return matching_texts(
            name,
            self.pattern,
            lambda text: text not in self.null_values and self.problem(text) is None,
            rng,
            min_length=self.min_length,
            most=most,
        )

    def sampler(self, name: str, seed: int) -> Sampler:
        """Draw from at most 200 texts, with equal chance."""
        import random

        import polars as pl

        texts = pl.Series(self.texts(name, random.Random(seed)), dtype=pl.String)  # noqa: S311 - no secrets

        def sample(n_rows: int, rng: np.random.Generator) -> pl.Series:
            return texts[rng.integers(0, len(texts), n_rows)]

        return sample

    def examples(self, name: str, rng: random.Random) -> list[Any]:
        """Give one text."""
        return list(self.texts(name, rng, most=1))

    @property
    def sql_type(self) -> SqlType:
        """A text of at most `max_length` characters."""
        return SqlType("text", self.max_length)

    def compare(self, found: DatabaseColumn) -> DatabaseFit:
        """Take texts and whole numbers."""
        match found.family:
            case "text":
                return DatabaseFit()
            case "integer":
                note = f"column {found.name}: the whole numbers of {found.type_text} are read as texts"
                return DatabaseFit(notes=(note,))
            case _:
                return self._does_not_fit(found)

    def _limit_words(self) -> list[str]:
        return [] if self.pattern is None else [f"matches {self.pattern}"]
