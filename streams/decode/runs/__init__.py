"""Usual records of a chunk, decoded together and column by column.

A complete event in binary mode whose body holds one tensor and its scores is what most traffic
of a classifier is made of. Records like that are read without an object for each: headers
become columns, the text around the arrays is decoded once for all that share it, and the numbers
are parsed for many events at a time. Everything that is not exactly so, and everything that is
wrong, is left to `streams.decode.RecordDecoder`, whose result for a usual record is the same.
"""

from __future__ import annotations

from streams.decode.runs.run import MIN_RECORDS, Run, RunDecoder

__all__ = ["MIN_RECORDS", "Run", "RunDecoder"]
