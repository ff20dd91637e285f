"""What can be wrong with rule files."""

from __future__ import annotations

from config.errors import ConfigError


class RuleError(ConfigError):
    """A rule file is wrong; the text names file, line, field and remedy."""

    def __init__(self, file: str, line: int | None, what: str) -> None:
        where = file if line is None else f"{file}:{line}"
        super().__init__(f"{where}: {what}")
        self.file = file
        self.line = line
