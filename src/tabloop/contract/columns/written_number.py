"""How texts write numbers: decimal commas, thousands, currency signs."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from tabloop.contract.columns.column import ColumnType, JsonSchema, Reader, RecordValue, Refusal
from tabloop.contract.columns.database_column import DatabaseColumn, DatabaseFit

if TYPE_CHECKING:
    import polars as pl

#: What may stand where a person writes one of these; typographic spaces and apostrophes mean the same.
_THOUSANDS = {",": ",", ".": r"\.", " ": "[ \u00a0\u2009\u202f]", "'": "['\u2019]"}
_DECIMAL = {".": r"\.", ",": ","}
_SPACES = "[ \u00a0\u2009\u202f]*"
#: No float64 needs more digits, and none of Python's integers is made of more.
_MOST_CHARACTERS = 400

DecimalMark = Literal[".", ","]
ThousandsMark = Literal[",", ".", " ", "'"]


def number_pattern(decimal: DecimalMark, thousands: ThousandsMark | None, affixes: tuple[str, ...]) -> str:
    """Give the regular expression of a whole text that is a number, its parts named.

    Parameters
    ----------
    decimal : str
        The mark that stands before the fraction.
    thousands : str or None
        What may stand between groups of three digits; a text has all of them or none.
    affixes : tuple of str
        One of them may stand before the number, and one behind.

    Examples
    --------
    >>> bool(re.search(number_pattern(".", ",", ("$",)), "$51,260.00"))
    True
    >>> bool(re.search(number_pattern(".", ",", ()), "51,26"))
    False
    """
    groups = f"[0-9]{{1,3}}(?:{_THOUSANDS[thousands]}[0-9]{{3}})+|" if thousands else ""
    affix = f"(?:{'|'.join(map(re.escape, affixes))})?" if affixes else ""
    point = _DECIMAL[decimal]
    return (
        f"^{_SPACES}(?P<sign>[+-]?){_SPACES}{affix}{_SPACES}(?P<inner>[+-]?)"
        f"(?P<whole>{groups}[0-9]*)(?:{point}(?P<fraction>[0-9]*))?(?P<exponent>[eE][+-]?[0-9]+)?"
        f"{_SPACES}{affix}{_SPACES}$"
    )


class WrittenNumber(ColumnType):
    """What the types of numbers share: how their texts are written, at every door alike."""

    decimal_mark: DecimalMark = Field(".", description="What stands before the fraction in a text.")
    thousands_mark: ThousandsMark | None = Field(
        None, description="What may stand between groups of three digits in a text."
    )
    affixes: tuple[str, ...] = Field(
        (),
        description="What may stand before or behind the number in a text and is left out, such as `$` or "
        "`%`: `45 %` is 45.",
    )

    @model_validator(mode="after")
    def _marks_differ(self) -> WrittenNumber:
        if self.decimal_mark == self.thousands_mark:
            raise ValueError(f"decimal_mark and thousands_mark are both {self.decimal_mark!r}")
        for affix in self.affixes:
            if not affix.strip() or len(affix) > 16 or re.search(r"[0-9.,+\-\s]", affix):
                raise ValueError(
                    f"affixes holds {affix!r}, expected up to 16 characters, no digit, sign, point or blank"
                )
        return self

    @property
    def is_plain(self) -> bool:
        """Whether texts are written as Python writes numbers."""
        return self.decimal_mark == "." and self.thousands_mark is None and not self.affixes

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(number_pattern(self.decimal_mark, self.thousands_mark, self.affixes))

    def plain_series(self, texts: pl.Series) -> pl.Series:
        """Write the numbers of texts as Python does; null where a text is none."""
        import polars as pl

        if self.is_plain or texts.dtype != pl.String:
            return texts
        parts = texts.str.extract_groups(self._pattern.pattern).struct.unnest()
        whole = parts["whole"]
        if self.thousands_mark is not None:
            whole = whole.str.replace_all(_THOUSANDS[self.thousands_mark], "")
        fraction = parts["fraction"].fill_null("")
        digits = whole + fraction
        plain = (
            parts["sign"]
            + parts["inner"]
            + whole
            + pl.select(pl.when(fraction != "").then("." + fraction).otherwise(pl.lit(""))).to_series()
            + parts["exponent"].fill_null("")
        )
        is_number = (digits != "").fill_null(False) & ((parts["sign"] == "") | (parts["inner"] == ""))
        return pl.DataFrame({"v": plain, "m": is_number}).select(pl.when("m").then("v"))["v"]

    def plain_text(self, text: str) -> str | None:
        """Do as `plain_series` for one text."""
        found = self._pattern.fullmatch(text) if len(text) <= _MOST_CHARACTERS else None
        if found is None or (found["sign"] and found["inner"]):
            return None
        whole = found["whole"]
        if self.thousands_mark is not None:
            whole = re.sub(_THOUSANDS[self.thousands_mark], "", whole)
        fraction = found["fraction"] or ""
        if not whole + fraction:
            return None
        point = f".{fraction}" if fraction else ""
        return f"{found['sign']}{found['inner']}{whole}{point}{found['exponent'] or ''}"

    def json_reader(self) -> Reader:
        """Give what turns a JSON value into the record's; where marks or affixes are set, texts too."""
        read = super().json_reader()
        if self.is_plain:
            return read
        null_texts = frozenset(("", *self.null_values))

        def read_text(value: Any) -> RecordValue | Refusal:
            if not isinstance(value, str):
                return read(value)
            if value in null_texts:
                return read(None)
            plain = self.plain_text(value)
            if plain is None:
                return read(value)
            return read(int(plain) if plain.lstrip("+-").isdigit() else float(plain))

        return read_text

    def json_schema(self) -> JsonSchema:
        """Describe the values as JSON schema; where marks or affixes are set, texts are among them."""
        schema = super().json_schema()
        if not self.is_plain:
            types = schema["type"]
            schema["type"] = [*(types if isinstance(types, list) else [types]), "string"]
            schema["pattern"] = self._json_pattern()
        return schema

    def _json_pattern(self) -> str:
        """Give the pattern without Python's named groups; null texts match it too."""
        number = re.sub(r"\(\?P<\w+>", "(?:", self._pattern.pattern)
        nulls = "|".join(re.escape(text) for text in self.null_values)
        if not self.nullable:
            return number
        return f"{number}|^(?:{nulls})$" if nulls else f"{number}|^$"

    def _does_not_fit(self, found: DatabaseColumn) -> DatabaseFit:
        if found.family == "text" and not self.is_plain:
            return DatabaseFit(
                notes=(f"column {found.name}: the texts of {found.type_text} are read as numbers",)
            )
        return super()._does_not_fit(found)

    def _writing_words(self) -> list[str]:
        words = [f"decimal mark {self.decimal_mark}"] if self.decimal_mark != "." else []
        words += [f"thousands {self.thousands_mark!r}"] if self.thousands_mark is not None else []
        return words + ([f"with {' '.join(self.affixes)}"] if self.affixes else [])
