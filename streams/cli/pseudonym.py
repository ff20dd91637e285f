"""``vedette pseudonym``: from a known identity to its pseudonym, for who may read the key."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter


def pseudonym(
    kind: Annotated[Literal["client", "tenant", "key"], Parameter(help="what it names")],
    identity: Annotated[
        str | None, Parameter(help="as the producer writes it; without it, a line of stdin")
    ] = None,
    /,
    *,
    past: Annotated[bool, Parameter(help="also of the earlier epochs, newest first")] = False,
) -> None:
    """Print the pseudonym of an identity, to find it in findings and in the audit trail.

    There is no way back: only someone who knows the identity, and may read the key, finds it.

    **Examples:**

    - `vedette audit search --client "$(vedette pseudonym client alice)"`: all of what alice did.

    - `vedette pseudonym key < credential.txt`: a credential, without leaving it in the shell's
      history.
    """
    import sys

    from config.errors import ConfigError
    from config.settings import load_settings
    from streams.identity import load_epochs, require_key

    settings = load_settings()
    if identity is None:
        identity = sys.stdin.readline().rstrip("\n")
    if not identity:
        raise ConfigError("the identity is empty")
    require_key(settings)
    names = load_epochs(settings).of(kind, identity)
    for name in names if past else names[:1]:
        sys.stdout.write(name + "\n")
