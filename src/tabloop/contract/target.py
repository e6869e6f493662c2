"""The column to predict: which of its two values is the positive class."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from tabloop.contract.section import Section

_COUNTERPARTS = {"1": "0", "0": "1", "true": "false", "false": "true", "yes": "no", "no": "yes"}


class TargetConfig(Section):
    """The 0/1 target, written with any two values."""

    name: str = Field(description="The target's column.", min_length=1)
    positive: bool | int | float | str = Field(1, description="The value that counts as 1.")
    negative: bool | int | float | str | None = Field(
        None, description="The value that counts as 0; left out, it is the counterpart of 1, true or yes."
    )
    null_values: tuple[str, ...] = Field(
        (),
        description="Texts that mean that the outcome is not known, besides the empty field.",
    )
    prediction_name: str | None = Field(
        None,
        pattern="^[A-Za-z_][A-Za-z0-9_]*$",
        description="Names the answers: `predicted_<name>` and `predicted_<name>_probability`. "
        "Left out, it is the target's name.",
    )

    @model_validator(mode="after")
    def _two_values(self) -> TargetConfig:
        if self.negative is None:
            if self.positive_text.casefold() not in _COUNTERPARTS:
                raise ValueError(f"positive is {self.positive!r}: say what `negative` is")
        elif target_text(self.negative) == self.positive_text:
            raise ValueError(f"positive and negative are both {self.positive!r}")
        classes = {self.positive_text, self.negative_text}
        both = [text for text in self.null_values if target_text(text) in classes]
        if both:
            raise ValueError(f"null_values names {both[0]!r}, which is one of the two classes")
        return self

    def is_null(self, value: Any) -> bool:
        """Tell whether a value says that the outcome is not known: nothing, blanks, one of `null_values`.

        Examples
        --------
        >>> target = TargetConfig(name="bought", null_values=("NA",))
        >>> target.is_null(" "), target.is_null("NA"), target.is_null(0)
        (True, True, False)
        """
        return value is None or (isinstance(value, str) and value.strip() in ("", *self.null_values))

    def described(self) -> dict[str, Any]:
        """Describe the target as plain JSON values; what is not set is left out."""
        described = self.model_dump(mode="json", exclude_none=True)
        if not self.null_values:
            del described["null_values"]
        return described

    @property
    def positive_text(self) -> str:
        """The positive value as `target_text` writes it."""
        return target_text(self.positive)

    @property
    def negative_text(self) -> str:
        """The negative value as `target_text` writes it."""
        if self.negative is not None:
            return target_text(self.negative)
        counterpart = _COUNTERPARTS[self.positive_text.casefold()]
        if self.positive_text.isupper():
            return counterpart.upper()
        return counterpart.capitalize() if self.positive_text.istitle() else counterpart

    @property
    def answer_name(self) -> str:
        """The name that predictions are published under, an identifier."""
        if self.prediction_name is not None:
            return self.prediction_name
        name = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in self.name)
        return f"_{name}" if name[:1].isdigit() else name


def target_text(value: Any) -> str:
    """Write a target value so that equal values have equal texts.

    Parameters
    ----------
    value : object
        A value from a config or a table.

    Returns
    -------
    text : str
        Whole numbers without a fraction, booleans in lower case, texts as they are.

    Examples
    --------
    >>> target_text(1), target_text(1.0), target_text("1.0"), target_text(True), target_text("Yes")
    ('1', '1', '1', 'true', 'Yes')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value).strip()
    if text.casefold() in ("true", "false"):
        return text.casefold()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)
