"""The contract as a JSON schema of one row."""

from __future__ import annotations

from tabloop.contract.columns.column import JsonSchema
from tabloop.contract.contract import Contract


def json_schema(contract: Contract) -> JsonSchema:
    """Describe a valid row as JSON Schema, draft 2020-12.

    Parameters
    ----------
    contract : Contract
        The contract.

    Returns
    -------
    schema : dict
        An object that takes the contract's columns and nothing else. A nullable column may be null or
        left out. Row rules have no counterpart in JSON Schema: they stand under `x-rules`, and a
        validator does not check them.

    Examples
    --------
    >>> contract = Contract.from_dict({"columns": {"days": {"type": "integer", "minimum": 0, "maximum": 9}},
    ...                                "target": {"name": "bought"}})
    >>> json_schema(contract)["properties"]["days"]
    {'type': 'integer', 'minimum': 0, 'maximum': 9}
    """
    schema: JsonSchema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Row",
        "type": "object",
        "properties": {name: column.json_schema() for name, column in contract.columns.items()}
        | {name: {"description": "Ignored."} for name in contract.ignored},
        "required": [name for name, column in contract.columns.items() if not column.nullable],
        "additionalProperties": False,
    }
    if contract.rules:
        schema["x-rules"] = [str(rule) for rule in contract.rules]
    return schema
