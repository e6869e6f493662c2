"""A hash of a table's content that depends neither on the order of its rows nor on how they came."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

_LIMBS = 8  # of 32 bits each, so that a sum of 2**32 digests still fits 64 bits
_MODULUS = 1 << 256


class ContentHash:
    """The sum, modulo 2**256, of one BLAKE2b digest a row.

    Parameters
    ----------
    columns : sequence of str
        The columns, in order; they are part of the hash.

    Notes
    -----
    A row is hashed over its values, each with a mark of its type and texts with their length, so that no
    two rows write alike. Numbers are the bits of their float64 or their decimal digits, moments are
    microseconds since 1970 UTC. Digests are added, not combined by exclusive or: a row that stands there
    twice counts twice instead of cancelling itself. The number of rows and the names of the columns go
    into the final SHA-256.

    This is MSet-Add-Hash [1]_ with the sum of [2]_ and without a secret key. Two tables that differ by
    accident, or by any ordinary edit, have the same hash with a chance of 2**-256. Somebody who may choose
    very many rows and computes long enough can make two tables with one hash [3]_: the hash finds
    changes, it is no signature.

    References
    ----------
    .. [1] D. Clarke, S. Devadas, M. van Dijk, B. Gassend and G. E. Suh, "Incremental Multiset Hash
       Functions and Their Application to Memory Integrity Checking", ASIACRYPT 2003.
    .. [2] M. Bellare and D. Micciancio, "A New Paradigm for Collision-Free Hashing: Incrementality at
       Reduced Cost", EUROCRYPT 1997.
    .. [3] D. Wagner, "A Generalized Birthday Problem", CRYPTO 2002.

    Examples
    --------
    >>> one, two = ContentHash(["x"]), ContentHash(["x"])
    >>> one.add([pl.Series([1, 2, 2])])
    >>> two.add([pl.Series([2])])
    >>> two.add([pl.Series([2, 1])])
    >>> one.hexdigest() == two.hexdigest()
    True
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._sum = 0
        self.n_rows = 0

    def add(self, values: Sequence[pl.Series | list[Any]]) -> None:
        """Count some rows in.

        Parameters
        ----------
        values : sequence of polars.Series or list, one a column, each of length n_rows
            A series where all values have one type; a list of plain values where they do not.
        """
        texts = [_texts(each).alias(str(place)) for place, each in enumerate(values)]
        rows = pl.DataFrame(texts).select(pl.concat_str(pl.all()).alias("row"))["row"].to_list()
        digest = hashlib.blake2b
        digests = b"".join([digest(row.encode(), digest_size=32).digest() for row in rows])
        limbs = np.frombuffer(digests, dtype="<u4").reshape(-1, _LIMBS).sum(axis=0, dtype=np.uint64)
        total = sum(int(limb) << (32 * place) for place, limb in enumerate(limbs))
        self._sum = (self._sum + total) % _MODULUS
        self.n_rows += len(rows)

    def hexdigest(self) -> str:
        """Give the hash of all rows so far, 64 hexadecimal digits."""
        final = hashlib.sha256(b"tabloop content 1\0")
        for name in self._columns:
            final.update(f"{len(name.encode())}:{name}".encode())
        final.update(b"\0%d\0" % self.n_rows)
        final.update(self._sum.to_bytes(32, "little"))
        return final.hexdigest()


def _texts(values: pl.Series | list[Any]) -> pl.Series:
    """Write each value so that no two values, and no two sequences of values, write alike."""
    if isinstance(values, list):
        return pl.Series([_text(value) for value in values], dtype=pl.String)
    dtype = values.dtype
    if dtype.is_float():
        # adding zero turns -0.0 into 0.0 (NumPy does, Polars leaves it out), and all NaN are made one
        floats = values.cast(pl.Float64).fill_null(0.0).to_numpy() + 0.0
        floats[np.isnan(floats)] = np.nan
        text = "f" + pl.Series(floats.view(np.int64)).cast(pl.String) + ";"
    elif dtype == pl.String:
        text = "s" + values.str.len_bytes().cast(pl.String) + ":" + values
    elif dtype.is_temporal():
        moments = values.cast(pl.Datetime("us")) if dtype == pl.Date else values
        text = "t" + moments.to_physical().cast(pl.String) + ";"
    elif dtype == pl.Null:
        return pl.Series(["n"] * len(values), dtype=pl.String)
    else:
        whole = values.cast(pl.Int8) if dtype == pl.Boolean else values
        text = "i" + whole.cast(pl.String) + ";"
    return text.zip_with(values.is_not_null(), pl.Series(["n"]))


def _text(value: Any) -> str:
    """Write one value as `_texts` writes a series of its type."""
    match value:
        case None:
            return "n"
        case bool() | int():
            return f"i{int(value)};"
        case float():
            if value != value:
                value = float("nan")
            return f"f{struct.unpack('<q', struct.pack('<d', value + 0.0))[0]};"
        case datetime():
            moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
            since = moment - datetime(1970, 1, 1, tzinfo=UTC)
            return f"t{(since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds};"
        case date():
            return _text(datetime(value.year, value.month, value.day))
        case bytes():
            return f"x{value.hex()};"
        case Decimal():
            return _text(str(value))
        case _:
            text = str(value)
            return f"s{len(text.encode('utf-8', 'surrogatepass'))}:{text}"
