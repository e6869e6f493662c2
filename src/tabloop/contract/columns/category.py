"""Texts from a set of categories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, StrictBool, model_validator

from tabloop.contract.columns.column import JsonSchema, Refusal, listing
from tabloop.contract.columns.text_like import TextLikeColumn

if TYPE_CHECKING:
    import random


class CategoryColumn(TextLikeColumn):
    """Text from a set of categories, closed by default.

    Examples
    --------
    >>> country = CategoryColumn(type="category", pattern="[A-Z]{2}", open=True)
    >>> country.problem("NA")
    >>> country.problem("Namibia")
    Refusal(code='pattern', expected='a text that matches [A-Z]{2}')
    """

    type: Literal["category"]
    categories: tuple[str, ...] | None = Field(None, description="The known categories.")
    open: StrictBool = Field(False, description="Whether a category that is not listed is accepted.")

    @model_validator(mode="after")
    def _categories_or_open(self) -> CategoryColumn:
        if self.categories is None:
            if not self.open:
                raise ValueError("give `categories`, or `open: true` to accept any")
            return self
        if not self.categories:
            raise ValueError("`categories` is empty")
        if len(set(self.categories)) != len(self.categories):
            twice = sorted({c for c in self.categories if self.categories.count(c) > 1})
            raise ValueError(f"listed twice: {', '.join(twice)}")
        if "" in self.categories:
            raise ValueError("an empty text is null in every source, it cannot be a category")
        for category in self.categories:
            problem = self.problem(category)
            if problem is not None:
                raise ValueError(f"category {category!r} breaks its own column: expected {problem.expected}")
            if category in self.null_values:
                raise ValueError(f"category {category!r} is also listed under null_values")
        return self

    def problem(self, text: str) -> Refusal | None:
        """Check one text, never null; see `TextLikeColumn.problem`."""
        problem = super().problem(text)
        if problem is None and not self.open and self.categories is not None and text not in self.categories:
            return Refusal("category", f"one of {listing(self.categories)}")
        return problem

    @property
    def msgspec_type(self) -> Any:
        """One of the categories of a closed column, a text of the right length in an open one."""
        if self.categories is not None and not self.open:
            return Literal[self.categories]
        return super().msgspec_type

    def _json_schema(self) -> JsonSchema:
        schema = super()._json_schema()
        if self.categories is not None:
            schema["examples" if self.open else "enum"] = list(self.categories)
        return schema

    def texts(self, name: str, rng: random.Random, *, most: int = 200) -> list[str]:
        """Give the categories where they are listed, and draw texts otherwise."""
        return super().texts(name, rng, most=most) if self.categories is None else list(self.categories)

    def _limit_words(self) -> list[str]:
        if not self.categories:
            return super()._limit_words()
        return [f"{len(self.categories)} categories{', open' if self.open else ''}", *super()._limit_words()]
