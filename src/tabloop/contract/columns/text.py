"""Free text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tabloop.contract.columns.text_like import TextLikeColumn


class TextColumn(TextLikeColumn):
    """Free text: checked and logged, used by no model except through `isnull`."""

    type: Literal["text"]
    model: Literal[False] = Field(
        False,
        description="No model sees a text; formulas can ask whether it `isnull`.",
        exclude_if=lambda is_seen: not is_seen,
    )
