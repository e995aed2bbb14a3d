"""Powers, logarithms, trigonometry and distances, as Java's Math has them: NaN and infinities, never an error."""

from __future__ import annotations

import math
from collections.abc import Callable

from streamguard_ksql import java_math
from streamguard_ksql.errors import EvaluationError
from streamguard_ksql.functions.registry import scalar
from streamguard_ksql.java import divide_doubles

MATH = "MATHEMATICAL"
EARTH_RADIUS_KM = 6371.0
EARTH_RADIUS_MILES = 3959.0


def total(function: Callable[[float], float]) -> Callable[[float], float]:
    """A function of Python's math, NaN where there is no answer and an infinity where the answer is too large."""

    def run(value: float) -> float:
        try:
            return function(float(value))
        except ValueError:
            return math.nan
        except OverflowError:
            return math.inf

    return run


def _register(name: str, description: str, function: Callable[[float], float], argument: str = "value") -> None:
    signatures = (f"({argument} {word}) -> DOUBLE" for word in ("DOUBLE", "INT", "BIGINT"))
    scalar(name, *signatures, category=MATH, description=description)(total(function))


def _cotangent(value: float) -> float:
    return divide_doubles(1.0, math.tan(value))


def _degrees(radians: float) -> float:
    return radians * java_math.RADIANS_TO_DEGREES


def _radians(degrees: float) -> float:
    return degrees * java_math.DEGREES_TO_RADIANS


def _logarithm(value: float) -> float:
    return -math.inf if value == 0 else math.log(value)


_register("ACOS", "The inverse cosine, in radians; NaN outside of -1 to 1.", java_math.acos)
_register("ASIN", "The inverse sine, in radians; NaN outside of -1 to 1.", java_math.asin)
_register("ATAN", "The inverse tangent, in radians.", java_math.atan)
_register("CBRT", "The cube root.", java_math.cbrt)
_register("COS", "The cosine of an angle in radians.", math.cos)
_register("COSH", "The hyperbolic cosine.", java_math.cosh)
_register("COT", "The cotangent of an angle in radians.", _cotangent)
_register("DEGREES", "An angle in radians as degrees.", _degrees)
_register("EXP", "e to the power of the number.", math.exp, "exponent")
_register("LN", "The natural logarithm.", _logarithm)
_register("RADIANS", "An angle in degrees as radians.", _radians)
_register("SIN", "The sine of an angle in radians.", math.sin)
_register("SINH", "The hyperbolic sine.", java_math.sinh)
_register("SQRT", "The square root; NaN of a negative number.", math.sqrt)
_register("TAN", "The tangent of an angle in radians.", math.tan)
_register("TANH", "The hyperbolic tangent.", java_math.tanh)
_register("LOG", "The natural logarithm, or that to the base given first.", _logarithm)


@scalar(
    "LOG",
    "(base INT, value INT) -> DOUBLE",
    "(base BIGINT, value BIGINT) -> DOUBLE",
    "(base DOUBLE, value DOUBLE) -> DOUBLE",
    category=MATH,
)
def logarithm_to_base(base: float, value: float) -> float:
    if base <= 0 or base == 1 or value < 0:
        return math.nan
    return -math.inf if value == 0 else math.log(value) / math.log(base)


@scalar(
    "POWER",
    "(base DOUBLE, exponent DOUBLE) -> DOUBLE",
    "(base BIGINT, exponent BIGINT) -> DOUBLE",
    "(base INT, exponent INT) -> DOUBLE",
    category=MATH,
    description="The base to the power of the exponent.",
)
def power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and exponent % 2 == 1 else math.inf
    except ValueError:
        if base == 0:
            return math.copysign(math.inf, base) if exponent % 2 == 1 else math.inf
        return math.nan


@scalar(
    "ATAN2",
    "(y DOUBLE, x DOUBLE) -> DOUBLE",
    "(y BIGINT, x BIGINT) -> DOUBLE",
    "(y INT, x INT) -> DOUBLE",
    category=MATH,
    description="The angle, in radians, between the x axis and the line to the point (x, y).",
)
def angle(y: float, x: float) -> float:
    return java_math.atan2(y, x)


@scalar("PI", "() -> DOUBLE", category=MATH, description="The number pi.")
def pi() -> float:
    return math.pi


def _arc(degrees: float) -> float:
    """Radians; in this order of operations the recorded distances are exact to the last digit."""
    return degrees / 180 * math.pi


def _radius(units: str) -> float:
    word = units.upper()
    if word.startswith(("KM", "KILOM")):
        return EARTH_RADIUS_KM
    if word.startswith("MI"):
        return EARTH_RADIUS_MILES
    raise EvaluationError(f"GEO_DISTANCE has the units 'km' and 'miles', not '{units}'")


@scalar(
    "GEO_DISTANCE",
    "(lat1 DOUBLE, lon1 DOUBLE, lat2 DOUBLE, lon2 DOUBLE, units VARCHAR) -> DOUBLE",
    "(lat1 DOUBLE, lon1 DOUBLE, lat2 DOUBLE, lon2 DOUBLE) -> DOUBLE",
    nulls="pass",
    category="OTHER",
    description="The great-circle distance between two points in decimal degrees, in kilometres or miles.",
)
def geo_distance(
    lat1: float | None, lon1: float | None, lat2: float | None, lon2: float | None, units: str | None = None
) -> float | None:
    """The haversine formula; EvaluationError for a latitude beyond 90 or a longitude beyond 180 degrees."""
    if lat1 is None or lon1 is None or lat2 is None or lon2 is None:
        return None
    if abs(lat1) > 90 or abs(lat2) > 90:
        raise EvaluationError(f"valid latitudes are from -90 to 90 degrees: {lat1}, {lat2}")
    if abs(lon1) > 180 or abs(lon2) > 180:
        raise EvaluationError(f"valid longitudes are from -180 to 180 degrees: {lon1}, {lon2}")
    half_lat = math.sin(_arc(lat2 - lat1) / 2)
    half_lon = math.sin(_arc(lon2 - lon1) / 2)
    square = half_lat * half_lat + half_lon * half_lon * math.cos(_arc(lat1)) * math.cos(_arc(lat2))
    return _radius("KM" if units is None else units) * 2 * java_math.asin(min(1.0, math.sqrt(square)))
