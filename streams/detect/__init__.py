"""Parts of the detect role."""

from __future__ import annotations
