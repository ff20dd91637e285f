"""YAML with line numbers, without duplicates, aliases or surprises.

PyYAML takes the last of two equal keys in silence, and aliases make small files huge: both are
refused here, as are files that are too large or too deep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from streams.rules.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Hashable

MAX_FILE_BYTES = 256 << 10
MAX_DEPTH = 16


class Source(NamedTuple):
    """The plain value of a file, and the line of each path such as ``$[0].severity``."""

    file: str
    value: Any
    lines: dict[str, int]

    def line_of(self, path: str) -> int | None:
        """Return the line of a path, or of the nearest thing around it."""
        while path and path not in self.lines:
            cut = max(path.rfind("."), path.rfind("["))
            path = path[: max(0, cut)]
        return self.lines.get(path)


def read_yaml(file: str, data: bytes) -> Source:
    """Parse one file.

    Raises
    ------
    RuleError
        If it is no YAML, too large or too deep, or repeats a key or uses an alias.
    """
    if len(data) > MAX_FILE_BYTES:
        raise RuleError(file, None, f"a rule file has at most {MAX_FILE_BYTES:,} bytes")
    try:
        loader = _Loader(data.decode("utf-8"), file)
        node = loader.get_single_node()
    except UnicodeDecodeError:
        raise RuleError(file, None, "a rule file is UTF-8") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        raise RuleError(file, line, error.problem or "this is no YAML") from None
    except yaml.YAMLError:
        raise RuleError(file, None, "this is no YAML") from None
    lines: dict[str, int] = {}
    value = None if node is None else _value(loader, node, "$", lines)
    return Source(file, value, lines)


class _Loader(yaml.SafeLoader):
    """Refuses aliases and depth while the tree is built, before it can grow."""

    def __init__(self, text: str, file: str) -> None:
        super().__init__(text)
        self.file = file
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose one node."""
        event = self.peek_event()  # type: ignore[no-untyped-call] # PyYAML's parser is untyped
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise RuleError(self.file, line, "aliases are not allowed; write the value out")
        if self._depth >= MAX_DEPTH:
            raise RuleError(self.file, line, f"more than {MAX_DEPTH} levels deep")
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def _value(loader: _Loader, node: yaml.Node, path: str, lines: dict[str, int]) -> Any:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        return [
            _value(loader, item, f"{path}[{number}]", lines)
            for number, item in enumerate(node.value)
        ]
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node, path, lines)
    try:
        return loader.construct_object(node)
    except (yaml.YAMLError, ValueError):
        raise RuleError(loader.file, lines[path], "this value cannot be read") from None


def _mapping(
    loader: _Loader, node: yaml.MappingNode, path: str, lines: dict[str, int]
) -> dict[Hashable, Any]:
    made: dict[Hashable, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise RuleError(loader.file, line, "a key is a plain word")
        key = key_node.value
        if key in made:
            raise RuleError(loader.file, line, f"the key {key!r} is there twice")
        made[key] = _value(loader, value_node, f"{path}.{key}", lines)
    return made
