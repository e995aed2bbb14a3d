"""Syntax tree to SQL text, exactly as ksqlDB prints it; parsing the text gives the tree back."""

from streamguard_ksql.parsing.format_expressions import format_expression, format_type, format_value, quote
from streamguard_ksql.parsing.format_statements import (
    format_columns,
    format_duration,
    format_properties,
    format_query,
    format_statement,
)

__all__ = [
    "format_columns",
    "format_duration",
    "format_expression",
    "format_properties",
    "format_query",
    "format_statement",
    "format_type",
    "format_value",
    "quote",
]
