"""Values and texts that expressions are tried with: the edges of each type, and what fits a parameter of a function."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st

from tests.streamguard_ksql.differential.times import FORMATS, ZONES

INTS = st.sampled_from([0, 1, 2, 3, -1, -2, -3, 5, 7, 12, 100, -100, 366, 2**31 - 1, -(2**31)])
LONGS = INTS | st.sampled_from([10**12, 1709170445123, -86_400_000, 2**53 + 1, 2**63 - 1, -(2**63)])
DOUBLES = st.sampled_from(
    [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 2.345, 1e-7, 1e300, -1e300, 123456789.125, 90.0, 1e16, float("nan"), float("inf")]
)
DECIMALS = st.integers(-(10**6), 10**6).map(lambda n: Decimal(n).scaleb(-3)) | st.sampled_from(
    [Decimal("0.000"), Decimal("-0.001"), Decimal("999999999.999"), Decimal("0.055"), Decimal("-12.345")]
)
TEXTS = st.sampled_from(
    [
        "",
        " ",
        "a",
        "b",
        "abc",
        "Hello World",
        "  padded\t",
        "null",
        "ÜnïCode ß",
        "😀",
        "a😀b😀",
        "12",
        "-3.5",
        "aXbXc",
        "a,b,,c",
        ",",
        "true",
        "日本",
        "a=1/b=2",
        "\x00",
        "%",
        "_",
        "a_c%",
        "It's",
    ]
)
BYTES = st.sampled_from(
    [b"", b"\x00", b"a", b"abc", b"\xff\xfe", b"\x00\x00\x07\xe5", b"\x7f" * 8, bytes(range(16)), b"a,b,"]
)
BOOLEANS = st.booleans()
DATES = st.sampled_from([0, 1, -1, 19_782, 11_016, -25_567, 2_932_896, 2**31 - 1])
TIMES = st.sampled_from([0, 1, 3_661_000, 86_399_000, 86_399_999])
STAMPS = st.sampled_from([0, 1, -1, 1709170445000, 1710052200000, 1730611800000, -2208988800000, 253402300799999])

PRIMITIVES: dict[str, st.SearchStrategy[object]] = {
    "INT": INTS,
    "BIGINT": LONGS,
    "DOUBLE": DOUBLES,
    "DECIMAL(12,3)": DECIMALS,
    "STRING": TEXTS,
    "BYTES": BYTES,
    "BOOLEAN": BOOLEANS,
    "DATE": DATES,
    "TIME": TIMES,
    "TIMESTAMP": STAMPS,
}


def values(kind: str) -> st.SearchStrategy[object]:
    """NULL, or a value of a type."""
    if kind.startswith("ARRAY<"):
        return st.none() | st.lists(values(kind[6:-1]), max_size=4)
    if kind.startswith("MAP<"):
        keys = st.sampled_from(["a", "b", "A", "", "😀"])
        return st.none() | st.dictionaries(keys, values(kind.partition(",")[2][:-1].strip()), max_size=3)
    return st.none() | PRIMITIVES[kind]


ENCODINGS = ("utf8", "ascii", "hex", "base64", "rot13")
ENCODED = ("", "ff", "4578", "0x45", "abc", "RXg=", "IQ==", "no hex", "é", "a")
JSON = (
    '{"a": 1, "b": {"c": [1, 2.50, "x", null]}, "d": "t"}',
    '[1, 2, "1", true, null, 1.5]',
    "{}",
    "[]",
    '"text"',
    "12",
    "null",
    "",
    "abc",
    "{",
    "[[1], {}]",
    '{"😀": "é"}',
)
PATHS = ("$", "$.a", "$.b", "$.b.c[1]", "$.b.c[3]", "$[0]", "$[9]", "$.nope.c")
URLS = (
    "http://example.com",
    "https://a.b:8443/p/q%20r?a=1&b=x%20y#frag",
    "http://h/?q=a&z=1",
    "not a url",
    "http://h/p#f",
    "http://h",
)
PATTERNS = ("a", "[a-c]+", "(a)(b)", "X", "o W", "l+", "(.)b", ",", "z")
STAMP_TEXTS = (
    "2024-02-29",
    "01/12/1999",
    "01:02:03",
    "2024-03-10 02:30",
    "1969-07-20",
    "x",
    "2020-01-01T10:00:00",
    "060 2024",
)
MASKS = ("*", "X", "n", "#")

DOMAINS: dict[tuple[str, int], tuple[str, ...]] = {
    ("ENCODE", 0): ENCODED,
    ("ENCODE", 1): ENCODINGS,
    ("ENCODE", 2): ENCODINGS,
    ("TO_BYTES", 0): ENCODED,
    ("TO_BYTES", 1): ENCODINGS,
    ("FROM_BYTES", 1): ENCODINGS,
    ("EXTRACTJSONFIELD", 0): JSON,
    ("EXTRACTJSONFIELD", 1): PATHS,
    **{(f"JSON_{name}", 0): JSON for name in ("ARRAY_CONTAINS", "ARRAY_LENGTH", "KEYS", "RECORDS", "ITEMS")},
    **{("JSON_CONCAT", i): JSON for i in range(3)},
    ("IS_JSON_STRING", 0): JSON,
    **{
        (f"URL_EXTRACT_{part}", 0): URLS
        for part in ("HOST", "PORT", "PATH", "QUERY", "FRAGMENT", "PROTOCOL", "PARAMETER")
    },
    ("URL_EXTRACT_PARAMETER", 1): ("a", "b", "q", "x"),
    ("URL_DECODE_PARAM", 0): ("a%20b", "a+b", "%41", "x"),
    **{(name, 0): PATTERNS for name in ("REGEXP_EXTRACT", "REGEXP_EXTRACT_ALL")},
    **{(name, 1): PATTERNS for name in ("REGEXP_REPLACE", "REGEXP_SPLIT_TO_ARRAY")},
    ("ARRAY_SORT", 1): ("ASC", "DESC"),
    ("GEO_DISTANCE", 4): ("KM", "miles", "km"),
    ("CHR", 0): ("\\u0041", "\\u597d", "K", "\\u00zz"),
    ("SPLIT_TO_MAP", 0): ("a=1/b=2", "a=1", "b", ""),
    ("SPLIT_TO_MAP", 1): ("/", ""),
    ("SPLIT_TO_MAP", 2): ("=", ""),
    ("SPLIT", 1): (",", "", "b", "😀"),
    ("INSTR", 1): ("a", "X", "o", "😀", "l", ","),
    **{(f"MASK{name}", i): MASKS for name in ("", "_LEFT", "_RIGHT", "_KEEP_LEFT", "_KEEP_RIGHT") for i in range(1, 6)},
    **{(name, 1): tuple(FORMATS) for name in ("FORMAT_DATE", "FORMAT_TIME", "FORMAT_TIMESTAMP", "TIMESTAMPTOSTRING")},
    **{(name, 1): tuple(FORMATS) for name in ("PARSE_DATE", "PARSE_TIME", "PARSE_TIMESTAMP", "STRINGTOTIMESTAMP")},
    **{(name, 1): tuple(FORMATS) for name in ("DATETOSTRING", "STRINGTODATE")},
    **{(name, 0): STAMP_TEXTS for name in ("PARSE_DATE", "PARSE_TIME", "PARSE_TIMESTAMP", "STRINGTOTIMESTAMP")},
    ("STRINGTODATE", 0): STAMP_TEXTS,
    **{(name, 2): ZONES for name in ("FORMAT_TIMESTAMP", "TIMESTAMPTOSTRING", "PARSE_TIMESTAMP", "STRINGTOTIMESTAMP")},
    ("CONVERT_TZ", 1): ZONES,
    ("CONVERT_TZ", 2): ZONES,
}
"""By function and place of the argument: texts that mean something there."""
LITERALS = {
    (f"{kind}_FROM_BYTES", 1): ("BIG_ENDIAN", "LITTLE_ENDIAN", "MIDDLE") for kind in ("INT", "BIGINT", "DOUBLE")
}
"""Where only a literal is taken."""
