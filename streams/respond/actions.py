"""What a gateway may be asked to do with a client, from the mildest to the strongest."""

from __future__ import annotations

from typing import Literal, get_args

#: ``allow`` is a person's word: whatever is found, until it ends.
Action = Literal["allow", "watch", "throttle", "challenge", "block"]

STRENGTH: dict[Action, int] = {action: number for number, action in enumerate(get_args(Action))}


def milder(one: Action, other: Action) -> Action:
    """Return the milder of two actions.

    Examples
    --------
    >>> milder("block", "throttle")
    'throttle'
    """
    return min(one, other, key=STRENGTH.__getitem__)
