"""``vedette config``: what is in force, with secrets masked."""

from __future__ import annotations

import cyclopts

#: Settings whose keys are names that users choose: variables can only hold them as JSON.
_OF_USERS = frozenset({"sources"})

app = cyclopts.App(name="config", help="Show the effective configuration.")


@app.command
def show() -> None:
    """Print every setting by the name of its variable, and a hash of them all.

    The hash leaves secrets out: it is the same on two hosts that differ in nothing else.

    **Examples:**

    - `vedette config show`: every setting as its variable.
    """
    from rich.console import Console

    from config.settings import load_settings

    console = Console(highlight=False, soft_wrap=True, markup=False)
    values = load_settings().model_dump(mode="json")
    lines = flatten(values)
    for line in lines:
        console.print(line)
    console.print(f"# hash {fingerprint(lines)}")


def flatten(values: dict[str, object], prefix: str = "VEDETTE_") -> list[str]:
    """Return one ``NAME=value`` line a setting, as the environment would hold it.

    Examples
    --------
    >>> flatten({"kafka": {"replication_factor": 3}, "home": None})
    ['VEDETTE_KAFKA__REPLICATION_FACTOR=3', 'VEDETTE_HOME=']
    """
    import json

    lines: list[str] = []
    for name, value in values.items():
        variable = prefix + name.upper()
        if isinstance(value, dict) and name not in _OF_USERS:
            lines += flatten(value, variable + "__")
        else:
            shown = "" if value is None else value if isinstance(value, str) else json.dumps(value)
            lines.append(f"{variable}={shown}")
    return lines


def fingerprint(lines: list[str]) -> str:
    """Return a short hash of the configuration."""
    import hashlib

    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
