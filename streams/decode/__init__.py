"""From a Kafka record of any producer to normalised interactions.

An envelope (whose event, when, from whom) is read apart from the body (what was asked and
answered). A further body format is one more file with a `BodyDecoder`, named in
``streams.decode.record.BODY_DECODERS``.
"""

from __future__ import annotations

from streams.decode.model import Decoded, Interaction, Part
from streams.decode.record import RecordDecoder

__all__ = ["Decoded", "Interaction", "Part", "RecordDecoder"]
