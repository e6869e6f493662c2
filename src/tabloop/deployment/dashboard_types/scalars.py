"""Numbers and texts that the types of several pages say."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

Count: TypeAlias = Annotated[int, Meta(ge=0)]
Moment: TypeAlias = Annotated[str, Meta(description="ISO 8601 in UTC.")]
