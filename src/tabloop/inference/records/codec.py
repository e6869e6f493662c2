"""JSON bodies to records and records to arrays: the way of every request and stream message.

The fast path is a `msgspec` decoder with the contract built in. It accepts only what
`tabloop.contract.checks.record` accepts, with equal values; whatever it refuses or cannot tell goes to that
definition, which decides and explains.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import force_setattr
from numpy.typing import NDArray

from tabloop.contract.checks.record import (
    MAX_PROBLEMS,
    RecordChecker,
    rule_holds,
    shown_text,
)
from tabloop.contract.checks.strict_json import read_json
from tabloop.contract.columns import Reader, RecordValue, TextLikeColumn, TimestampColumn
from tabloop.contract.contract import Contract
from tabloop.contract.formula_inputs import input_of_values
from tabloop.contract.formulas.evaluation import evaluate_table
from tabloop.contract.formulas.parser import Formula
from tabloop.errors import (
    DataError,
    MalformedBodyError,
    RecordError,
    RecordProblem,
)
from tabloop.inference.records.graph_inputs import GraphInputs
from tabloop.inference.records.listed_records import kind_of, listed_records
from tabloop.inference.records.plain_rules import plain_comparisons
from tabloop.inference.records.record_type import Record, RecordField, make_record_type, record_fields

#: Up to so many records a rule is quicker row by row than with NumPy.
_FEW_RECORDS = 4
#: Texts of a column that are known to be valid; a country is not looked at letter by letter every time.
_MOST_KNOWN_TEXTS = 256
_UNDECIDED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class RecordCodec:
    """Decodes, checks and unpacks the records of one contract; several threads may share it.

    Parameters
    ----------
    contract : Contract
        The columns and rules that a valid row meets.
    max_records : int, default=10_000
        Most records in one body.

    Attributes
    ----------
    record_type : type of msgspec.Struct
        Immutable, with the fields `c0`, `c1`, ... in the contract's order. `msgspec` writes it as an
        object of the columns by name, and `RecordCodec` alone makes sure that its values are valid.

    Examples
    --------
    >>> codec = RecordCodec(Contract.from_dict({
    ...     "columns": {"days": {"type": "integer", "minimum": 0},
    ...                 "country": {"type": "category", "open": True}},
    ...     "features": {"weeks": "days / 7"}, "target": {"name": "bought"}}))
    >>> record = codec.decode_record(b'{"country": "NA", "days": 14}')
    >>> record, msgspec.json.encode(record)
    (Record(c0=14, c1='NA'), b'{"days":14,"country":"NA"}')
    >>> codec.columns_of([record])
    {'days': array([14]), 'country': array(['NA'], dtype=object)}
    >>> codec.decode_record(b'{"country": "NA", "days": -1}')
    Traceback (most recent call last):
    tabloop.errors.RecordError: not what the contract says: 1 problem
      days: got -1, expected at least 0
    """

    record_type: type[Record]

    def __init__(self, contract: Contract, *, max_records: int = 10_000) -> None:
        self._contract = contract
        self._max_records = max_records
        self._checker = RecordChecker(contract)
        self._fields = record_fields(contract)
        self._by_name = {field.name: field for field in self._fields}
        self.record_type = make_record_type(self._fields)
        records = types.GenericAlias(list, (self.record_type,))
        batch_type = msgspec.defstruct("Batch", [("records", records)], forbid_unknown_fields=True)
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(self.record_type).decode
        self._decode_batch: Callable[[bytes], Any] = msgspec.json.Decoder(batch_type).decode

        self._optional = [field for field in self._fields if field.column.nullable]
        readers = [(field, self._checker.readers[field.name]) for field in self._fields]
        known: list[set[str | None]] = [set() for _ in readers]
        self._texts = [
            (f, read, texts)
            for (f, read), texts in zip(readers, known, strict=True)
            if isinstance(f.column, TextLikeColumn)
        ]
        self._moments = [(f, read) for f, read in readers if isinstance(f.column, TimestampColumn)]
        self._rules = [(rule, [self._by_name[name] for name in rule.columns]) for rule in contract.rules]
        self._inputs = GraphInputs(self._by_name, contract)
        self._comparisons = plain_comparisons(contract.rules, self._by_name)
        self._names_have_colons = any(":" in name for name in contract.columns)
        self._is_plain = (
            len(self._comparisons) == len(self._rules)
            and not self._optional
            and not self._moments
            and not self._names_have_colons
        )
        self._n_colons = sum(1 + name.count(":") for name in contract.columns)

    def decode_record(self, body: bytes) -> Record:
        """Decode a body that is one record.

        Parameters
        ----------
        body : bytes
            UTF-8 JSON: an object of the contract's columns.

        Returns
        -------
        record : Record

        Raises
        ------
        MalformedBodyError
            If the body is no JSON or no object.
        RecordError
            If the record breaks the contract; all problems at once.
        """
        try:
            record: Record = self._decode(body)
        except _UNDECIDED:
            return self._explain_record(body)
        return record if self._settle([record], body, 0) else self._explain_record(body)

    def plain_record(self, body: bytes) -> Record | None:
        """Decode a body that is one record and plainly valid.

        Returns
        -------
        record : Record or None
            None where only `decode_record` can tell whether and why not.
        """
        try:
            record: Record = self._decode(body)
        except _UNDECIDED:
            return None
        if not self._is_plain:
            return record if self._settle([record], body, 0) else None
        if body.count(b":") != self._n_colons:  # see `_settle_fields`
            return None
        for field, read, known in self._texts:
            text = field.get(record)
            if text not in known and not _is_valid(text, read, known):
                return None
        for compare, left, right in self._comparisons:
            if not compare(float(left(record)), float(right(record))):
                return None
        return record

    def decode_records(self, body: bytes) -> list[Record]:
        """Decode a body that is `{"records": [...]}`.

        Parameters
        ----------
        body : bytes
            UTF-8 JSON.

        Returns
        -------
        records : list of Record
            Records, at least one.

        Raises
        ------
        MalformedBodyError
            If the body is no JSON, no object, or its `records` are missing, no list or empty.
        TooManyRecordsError
            If there are more than `max_records`.
        RecordError
            If records break the contract; all problems of all records at once, up to `MAX_PROBLEMS`.
        """
        try:
            records: list[Record] = self._decode_batch(body).records
        except _UNDECIDED:
            return self._explain_records(body)
        if 0 < len(records) <= self._max_records and self._settle(records, body, 1):
            return records
        return self._explain_records(body)

    def decode_each(self, bodies: Sequence[bytes]) -> list[Record | DataError]:
        """Decode bodies of one record each; what is wrong with one is no matter of the others.

        Parameters
        ----------
        bodies : sequence of bytes
            JSON texts, each as `decode_record` takes it.

        Returns
        -------
        records : list of Record or DataError
            For each body, in order: its record, or the error that `decode_record` raises.
        """
        try:
            records: list[Record] = [self._decode(body) for body in bodies]
        except _UNDECIDED:
            return [self._record_or_error(body) for body in bodies]
        if not records or self._settle(records, b"".join(bodies), 0):
            return list(records)
        return [self._record_or_error(body) for body in bodies]

    def are_valid(self, records: list[Record], text: bytes, n_other_colons: int) -> bool:
        """Judge records that somebody else decoded as this codec's `record_type`; absent fields become null.

        Parameters
        ----------
        records : list of Record
            What was decoded.
        text : bytes
            All JSON that it was decoded from.
        n_other_colons : int
            How many colons of the text are outside of the records.

        Returns
        -------
        are_valid : bool
            False where one is not, or where only `decode_each` can tell.
        """
        return not records or self._settle(records, text, n_other_colons)

    def _record_or_error(self, body: bytes) -> Record | DataError:
        try:
            return self.decode_record(body)
        except DataError as error:
            return error

    def record_of(self, values: Mapping[str, Any]) -> Record:
        """Build a record from plain values by column name, checked like decoded JSON.

        Raises
        ------
        RecordError
            If the values break the contract.
        """
        report = self._checker.check(values)
        if report.values is None:
            raise RecordError(report.problems, report.n_problems)
        return self._record(report.values)

    def records_of(self, rows: Sequence[Mapping[str, Any]]) -> list[Record]:
        """Build records from plain values; see `record_of`. All problems of all rows at once."""
        return self._checked(rows, [], 0)

    def columns_of(self, records: Sequence[Record]) -> dict[str, NDArray[Any]]:
        """Turn records into the inputs of the exported graph.

        Parameters
        ----------
        records : sequence of n_rows records
            Records that this codec decoded.

        Returns
        -------
        columns : dict of str to ndarray of shape (n_rows,)
            As `tabloop.inference.records.frame_columns.columns_of_frame` gives them for the same rows.
        """
        return self._inputs.columns(records)

    def feed_of(self, records: Sequence[Record]) -> dict[str, NDArray[Any]]:
        """Turn records into what `Predictor.run` takes: `columns_of`, each of shape (n_rows, 1)."""
        return self._inputs.feed(records)

    def _settle(self, records: list[Record], body: bytes, n_outer_colons: int) -> bool:
        """Do what the decoder cannot: absent fields, repeated keys, texts, timestamps, rules.

        Returns False where the records are wrong, or where only the slow path can tell.
        """
        if not self._settle_fields(records, body, n_outer_colons):
            return False
        for field, read, known in self._texts:
            for text in set(map(field.get, records)):
                if text not in known and not _is_valid(text, read, known):
                    return False
        for field, read in self._moments:
            for record, text in zip(records, field.of(records), strict=True):
                moment = read(text)
                if isinstance(moment, tuple):
                    return False
                if moment != text:
                    force_setattr(record, field.attribute, moment)
        return all(self._rule_holds(rule, fields, records) for rule, fields in self._rules)

    def _settle_fields(self, records: list[Record], body: bytes, n_outer_colons: int) -> bool:
        r"""Fill in absent fields with null, and make sure that no key stands there twice.

        `msgspec` lets the last of equal keys win, so a repeated key shows in the body alone. The proof that
        there is none counts colons. Outside of texts, JSON has one colon behind each key and no other. A
        body that was decoded holds only known keys, each at least once but for the absent ones; so it has
        at least the colons expected here, and exactly as many only if no key is repeated. Colons inside
        keys and values add to both sides alike, as long as none is written as `\u003a`. Where the numbers
        differ, nothing is refused yet: the caller reads the body again, strictly.
        """
        n_colons = n_outer_colons + self._n_colons * len(records)
        for field in self._optional:
            values = field.of(records)
            if msgspec.UNSET in values:
                for record, value in zip(records, values, strict=True):
                    if value is msgspec.UNSET:
                        force_setattr(record, field.attribute, None)
                        n_colons -= 1 + field.name.count(":")
        found = body.count(b":")
        if found == n_colons and not self._names_have_colons:
            # a repeated key adds a colon, and nothing takes one away: these names have none to escape
            return True
        if b"\\u003a" in body or b"\\u003A" in body:
            return False
        for field in (*(field for field, _, _ in self._texts), *(field for field, _ in self._moments)):
            n_colons += sum(text.count(":") for text in field.of(records) if text)
        return found == n_colons

    def _rule_holds(self, rule: Formula, fields: list[RecordField], records: list[Record]) -> bool:
        # log1p is the one function whose last bits may differ between rows and tables
        if len(records) <= _FEW_RECORDS or "log1p" in rule.text:
            for record in records:
                if not rule_holds(rule, {f.name: f.column.formula_value(f.get(record)) for f in fields}):
                    return False
            return True
        values = {field.name: input_of_values(field.column, field.of(records)) for field in fields}
        broken = ~evaluate_table(rule, values, n_rows=len(records))
        for name in rule.required_columns:
            broken &= ~np.isnan(values[name])
        return not broken.any()

    def _record(self, values: tuple[RecordValue, ...]) -> Record:
        return self.record_type(**{f.attribute: value for f, value in zip(self._fields, values, strict=True)})

    def _explain_record(self, body: bytes) -> Record:
        value = read_json(body)
        if not isinstance(value, dict):
            raise MalformedBodyError(f"got {kind_of(value)}, expected an object of columns")
        return self.record_of(value)

    def _explain_records(self, body: bytes) -> list[Record]:
        value = read_json(body)
        given = listed_records(value, self._max_records)
        unknown = [name for name in value if name != "records"]
        problems = [
            RecordProblem(None, shown_text(name), "unknown", kind_of(value[name]), "records alone")
            for name in unknown[:MAX_PROBLEMS]
        ]
        return self._checked(given, problems, len(unknown))

    def _checked(self, rows: Sequence[Any], problems: list[RecordProblem], n_problems: int) -> list[Record]:
        """Build records of rows, or raise with what was wrong already and all that is wrong with them."""
        records = []
        for row, each in enumerate(rows):
            report = self._checker.check(each, row=row, most_problems=MAX_PROBLEMS - len(problems))
            if report.values is None:
                n_problems += report.n_problems
                problems += report.problems
            elif not n_problems:
                records.append(self._record(report.values))
        if n_problems:
            raise RecordError(problems, n_problems)
        return records


def _is_valid(text: str | None, read: Reader, known: set[str | None]) -> bool:
    """Tell whether a text is valid as it is; note it where there is room."""
    if read(text) != text:
        return False
    if len(known) < _MOST_KNOWN_TEXTS:
        known.add(text)
    return True
