"""Free text."""

from __future__ import annotations

from typing import Literal

from tabloop.contract.columns.text_like import TextLikeColumn


class TextColumn(TextLikeColumn):
    """Free text: checked and logged, used by no model except through `isnull`."""

    type: Literal["text"]
