"""Serialization formats, one module each."""

from streamguard_ksql.formats import delimited, json, kafka, none, protobuf
from streamguard_ksql.formats.base import FORMATS, Deserializer, Format, FormatOptions, Serializer, find_format

__all__ = [
    "FORMATS",
    "Deserializer",
    "Format",
    "FormatOptions",
    "Serializer",
    "delimited",
    "find_format",
    "json",
    "kafka",
    "none",
    "protobuf",
]
