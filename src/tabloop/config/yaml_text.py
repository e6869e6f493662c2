"""Read and write YAML as its version 1.2 means it."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tabloop.errors import ConfigError

#: A document whose aliases repeat more values than this is an attack or a mistake.
MOST_REPEATED_VALUES = 10_000

# PyYAML does not catch what building a value raises, for a number of 5,000 digits or `!!bool maybe`
_ERRORS = (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError)

_CORE_SCHEMA = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
)


def _speak_core_schema(kind: type[Any]) -> None:
    """Let a loader or dumper know a plain text's type by the core schema of YAML 1.2, and nothing else."""
    kind.yaml_implicit_resolvers = {}
    for name, pattern, first in _CORE_SCHEMA:
        kind.add_implicit_resolver(f"tag:yaml.org,2002:{name}", re.compile(f"(?:{pattern})$"), first)


class _Loader(yaml.SafeLoader):
    """A loader of plain values that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a plain text", key_node.start_mark
                )
            key = key_node.value
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_core_int(self, node: yaml.ScalarNode) -> int:
        text = self.construct_scalar(node)
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text, base)


class _Dumper(yaml.SafeDumper):
    """A dumper that quotes every text which `_Loader` would not read as that text."""


def _write_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # without quotes the line breaks of other systems would be folded into blanks
    style = '"' if any(each in text for each in "\x85\u2028\u2029\ufeff") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)
_speak_core_schema(_Loader)
_speak_core_schema(_Dumper)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_core_int)


def parse_yaml(text: str, where: str) -> Any:
    """Read one YAML document.

    Parameters
    ----------
    text : str
        The document. Plain texts mean what the core schema of YAML 1.2 says: `010` is ten, and `12:30`,
        `yes`, `NO` and `2024-01-31` are texts.
    where : str
        The place of the text, which an error names.

    Returns
    -------
    value : object
        Mappings, lists, texts, numbers, truth values and None.

    Raises
    ------
    ConfigError
        If it is not YAML, repeats a key, or repeats too much through aliases.

    References
    ----------
    .. [1] YAML 1.2.2, section 10.3, https://yaml.org/spec/1.2.2/#103-core-schema.

    Examples
    --------
    >>> parse_yaml("[010, 12:30, yes, 1e3, true]", "here")
    [10, '12:30', 'yes', 1000.0, True]
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _require_bounded_aliases(node)
        return loader.construct_document(node)
    except _ERRORS as error:
        raise ConfigError(f"{where}: not YAML: {_sentence(error)}") from error


def line_numbers(text: str, where: str) -> dict[tuple[str, ...], int]:
    r"""Find the line of each value of a YAML document.

    Parameters
    ----------
    text : str
        The document, one that `parse_yaml` reads.
    where : str
        The place of the text, which an error names.

    Returns
    -------
    lines : dict of path to int
        Keys from the outermost on, and the line of the innermost one, from 1. A list counts as one value.

    Examples
    --------
    >>> line_numbers("seed: 1\ncv:\n  n_splits: [2,\n   3]\n", "here")
    {('seed',): 1, ('cv', 'n_splits'): 3}
    """
    try:
        root = _Loader(text).get_single_node()
    except _ERRORS as error:
        raise ConfigError(f"{where}: not YAML: {_sentence(error)}") from error
    found: dict[tuple[str, ...], int] = {}

    def walk(node: yaml.Node, place: tuple[str, ...], line: int) -> None:
        if not isinstance(node, yaml.MappingNode) or not node.value:
            found[place] = line
            return
        merged = [(key, value) for key, value in node.value if key.tag == "tag:yaml.org,2002:merge"]
        for _, value in merged:  # a key of the mapping itself wins over one that is merged in
            for each in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                walk(each, place, each.start_mark.line + 1)
        for key, value in node.value:
            if key.tag != "tag:yaml.org,2002:merge":
                walk(value, (*place, key.value), key.start_mark.line + 1)

    if root is not None:
        walk(root, (), 1)
    return found


def write_yaml(value: Any, **options: Any) -> str:
    r"""Write plain values so that `parse_yaml` reads the same values back.

    Parameters
    ----------
    value : object
        Mappings, lists, texts, numbers, truth values and None.
    **options
        As `yaml.dump` takes them.

    Examples
    --------
    >>> write_yaml({"a": "1e3", "b": "yes"})
    "a: '1e3'\nb: yes\n"
    """
    written: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, **options)
    return written


def _require_bounded_aliases(root: yaml.Node) -> None:
    """Refuse a document whose aliases contain themselves or repeat very much, before it is built.

    Each node is visited once; how many values it stands for is the sum over what it holds.
    """
    sizes: dict[int, int] = {}
    under_way: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in under_way:
            raise yaml.constructor.ConstructorError(None, None, "an alias holds itself", node.start_mark)
        under_way.add(id(node))
        below = node.value if isinstance(node, yaml.CollectionNode) else []
        total = 1
        for each in below:
            total += sum(map(size, each)) if isinstance(each, tuple) else size(each)
        under_way.remove(id(node))
        sizes[id(node)] = total
        return total

    repeated = size(root) - len(sizes)
    if repeated > MOST_REPEATED_VALUES:
        raise yaml.constructor.ConstructorError(
            None, None,
            f"its aliases repeat more than {MOST_REPEATED_VALUES:,} values; write out what is needed",
            root.start_mark,
        )  # fmt: skip


def _sentence(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error) if isinstance(error, yaml.YAMLError | ValueError) else "a tag does not fit its value"
