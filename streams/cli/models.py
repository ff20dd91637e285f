"""``vedette models``: the registry of signed models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cyclopts
from cyclopts import Parameter

if TYPE_CHECKING:
    from models.registry import Registry

app = cyclopts.App(name="models", help="Register, list and verify served models.")


@app.command(name="list")
def list_models() -> None:
    """List registered models; those that fail verification say why.

    **Examples:**

    - `vedette models list`: name, version and key of each.
    """
    from rich.console import Console
    from rich.table import Table

    from models.errors import ModelFileError, UntrustedError

    registry = _registry()
    table = Table("model", "version", "input", "digest", "state")
    for name in registry.names():
        try:
            model = registry.load(name)
        except (ModelFileError, UntrustedError) as error:
            table.add_row(name, "", "", "", str(error))
        else:
            given = model.architecture
            shape = "x".join(map(str, given.input_shape))
            table.add_row(name, given.version, shape, model.digest[:16], "verified")
    Console().print(table)


@app.command
def verify(
    name: Annotated[str, Parameter(help="name of the model")],
) -> None:
    """Check that a model is exactly what was signed.

    **Examples:**

    - `vedette models verify digits`: before it is served anew.
    """
    from rich.console import Console

    model = _registry().load(name)
    Console().print(f"{name} is what was signed, sha256 {model.digest}")


@app.command
def register(
    directory: Annotated[Path, Parameter(help="holds model.safetensors and model.json")],
) -> None:
    """Sign a model and put it into the registry.

    **Examples:**

    - `vedette models register ./credit`: pickled files (.pt, .pkl) are refused: reading them
      can run code.
    """
    from rich.console import Console

    written = _registry().admit(directory)
    Console().print(f"registered in {written}")


def _registry() -> Registry:
    from config.settings import load_settings
    from models.registry import Registry as Open

    settings = load_settings()
    return Open(settings.models, settings.home / "keys")
