"""What can be wrong with a file that claims to be a model or a profile."""

from __future__ import annotations

from config.errors import Fatal


class UntrustedError(Fatal):
    """A directory is not what its signer signed; the text says what to do."""


class ModelFileError(Fatal):
    """A model or profile file is of a kind that is not admitted, or damaged."""
