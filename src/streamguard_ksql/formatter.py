"""Syntax tree to SQL text, exactly as ksqlDB prints it; parsing the text gives the tree back."""

from streamguard_ksql.parsing.format_clauses import (
    format_columns,
    format_duration,
    format_expressions,
    format_inner,
    format_names,
    format_properties,
    format_query,
    format_query_id,
    format_statement,
    format_timeout,
    format_topic,
    words_if,
)
from streamguard_ksql.parsing.format_expressions import (
    format_expression,
    format_text,
    format_type,
    format_value,
    quote,
)

__all__ = [
    "format_columns",
    "format_duration",
    "format_expression",
    "format_expressions",
    "format_inner",
    "format_names",
    "format_properties",
    "format_query",
    "format_query_id",
    "format_statement",
    "format_text",
    "format_timeout",
    "format_topic",
    "format_type",
    "format_value",
    "quote",
    "words_if",
]
