"""What Java's Math gives to the last digit, where it is not what the C library gives.

Java computes these by the algorithms of FDLIBM (its documentation prescribes them for StrictMath, to which Math passes
these on): an error of less than one unit in the last place, but not always the same one. SIN, COS, TAN, EXP, LOG and
POWER are computed by the processor's routines there, which agree with the C library.

Source: the Java SE API documentation of StrictMath; "FDLIBM: a freely distributable libm", Sun Microsystems, whose
coefficients these are.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import reduce

_LN2_HI, _LN2_LO, _INV_LN2 = 6.93147180369123816490e-01, 1.90821492927058770002e-10, 1.44269504088896338700e00
_HALF_LN2, _ONE_AND_A_HALF_LN2 = 0.34657359027997264, 1.0397207708399179
_OVERFLOW_EXP, _OVERFLOW_SINH = 7.09782712893383973096e02, 7.10475860073943977113e02
_PI_OVER_2, _PI_OVER_2_LO = 1.57079632679489655800e00, 6.12323399573676603587e-17
_PI_OVER_4, _PI_LO = 7.85398163397448278999e-01, 1.2246467991473531772e-16

_EXP = (4.13813679705723846039e-08, -1.65339022054652515390e-06, 6.61375632143793436117e-05, -2.77777777770155933842e-03,
        1.66666666666666019037e-01)  # fmt: skip
_EXPM1 = (-2.01099218183624371326e-07, 4.00821782732936239552e-06, -7.93650757867487942473e-05,
          1.58730158725481460165e-03, -3.33333333333331316428e-02, 1.0)  # fmt: skip
_ASIN_P = (3.47933107596021167570e-05, 7.91534994289814532176e-04, -4.00555345006794114027e-02,
           2.01212532134862925881e-01, -3.25565818622400915405e-01, 1.66666666666666657415e-01)  # fmt: skip
_ASIN_Q = (7.70381505559019352791e-02, -6.88283971605453293030e-01, 2.02094576023350569471e00,
           -2.40339491173441421878e00, 1.0)  # fmt: skip
_ATAN_EVEN = (1.62858201153657823623e-02, 4.97687799461593236017e-02, 6.66107313738753120669e-02,
              9.09088713343650656196e-02, 1.42857142725034663711e-01, 3.33333333333329318027e-01)  # fmt: skip
_ATAN_ODD = (-3.65315727442169155270e-02, -5.83357013379057348645e-02, -7.69187620504482999495e-02,
             -1.11111104054623557880e-01, -1.99999999998764832476e-01)  # fmt: skip
_ATAN_HI = (4.63647609000806093515e-01, _PI_OVER_4, 9.82793723247329054082e-01, _PI_OVER_2)
_ATAN_LO = (2.26987774529616870924e-17, 3.06161699786838301793e-17, 1.39033110312309984516e-17, _PI_OVER_2_LO)

DEGREES_TO_RADIANS, RADIANS_TO_DEGREES = 0.017453292519943295, 57.29577951308232
"""Java multiplies by these."""


def _polynomial(coefficients: Sequence[float], x: float) -> float:
    """From the highest power down."""
    return reduce(lambda total, coefficient: coefficient + x * total, coefficients)


def _high(x: float) -> int:
    """The upper 32 bits of a double."""
    return int(struct.unpack(">i", struct.pack(">d", x)[:4])[0])


def _from_high(word: int) -> float:
    return float(struct.unpack(">d", struct.pack(">ii", word, 0))[0])


def _without_low(x: float) -> float:
    """The double with the lower 32 bits zero."""
    return _from_high(_high(x))


def _exp(x: float) -> float:
    """For 0 and above."""
    if x > _OVERFLOW_EXP:
        return math.inf
    high, low, k = x, 0.0, 0
    if x > _HALF_LN2:
        k = 1 if x < _ONE_AND_A_HALF_LN2 else int(_INV_LN2 * x + 0.5)
        high, low = x - k * _LN2_HI, k * _LN2_LO
        x = high - low
    square = x * x
    c = x - square * _polynomial(_EXP, square)
    if k == 0:
        return 1.0 - ((x * c) / (c - 2.0) - x)
    return math.ldexp(1.0 - ((low - (x * c) / (2.0 - c)) - high), k)


def _expm1(x: float) -> float:
    """For -44 to 709."""
    size = abs(x)
    if size < 2.0**-54:
        return x
    k, c = 0, 0.0
    if size > _HALF_LN2:
        sign = 1 if x > 0 else -1
        k = sign if size < _ONE_AND_A_HALF_LN2 else int(_INV_LN2 * x + sign * 0.5)
        high, low = x - k * _LN2_HI, k * _LN2_LO
        x = high - low
        c = (high - x) - low
    half = 0.5 * x
    square = x * half
    r = _polynomial(_EXPM1, square)
    t = 3.0 - r * half
    e = square * ((r - t) / (6.0 - x * t))
    if k == 0:
        return x - (x * e - square)
    return _expm1_scaled(x, (x * (e - c) - c) - square, k)


def _expm1_scaled(x: float, e: float, k: int) -> float:
    if k == -1:
        return 0.5 * (x - e) - 0.5
    if k == 1:
        return -2.0 * (e - (x + 0.5)) if x < -0.25 else 1.0 + 2.0 * (x - e)
    if k <= -2 or k > 56:
        return math.ldexp(1.0 - (e - x), k) - 1.0
    if k < 20:
        return math.ldexp((1.0 - 2.0**-k) - (e - x), k)
    return math.ldexp((x - (e + 2.0**-k)) + 1.0, k)


def cosh(x: float) -> float:
    x = abs(x)
    if x < _HALF_LN2:
        t = _expm1(x)
        return 1.0 + t if x < 2.0**-55 else 1.0 + (t * t) / ((1.0 + t) + (1.0 + t))
    if x < 22:
        t = _exp(x)
        return 0.5 * t + 0.5 / t
    return x if x != x else _half_exp(x, 0.5)


def sinh(x: float) -> float:
    half, size = math.copysign(0.5, x), abs(x)
    if size < 2.0**-28 or x != x:
        return x
    if size < 22:
        t = _expm1(size)
        return half * (2.0 * t - t * t / (t + 1.0)) if size < 1 else half * (t + t / (t + 1.0))
    return _half_exp(size, half)


def _half_exp(size: float, half: float) -> float:
    if size < 709.78125:
        return half * _exp(size)
    if size > _OVERFLOW_SINH:
        return math.copysign(math.inf, half)
    w = _exp(0.5 * size)
    return (half * w) * w


def tanh(x: float) -> float:
    size = abs(x)
    if size < 2.0**-55 or x != x:
        return x * (1.0 + x)
    if size >= 22:
        result = 1.0
    elif size >= 1:
        result = 1.0 - 2.0 / (_expm1(2.0 * size) + 2.0)
    else:
        t = _expm1(-2.0 * size)
        result = -t / (t + 2.0)
    return math.copysign(result, x)


def cbrt(x: float) -> float:
    if not math.isfinite(x) or x == 0:
        return x
    size = abs(x)
    if size < 2.0**-1022:
        t = _from_high(_high(size * 2.0**54) // 3 + 696219795)
    else:
        t = _from_high(_high(size) // 3 + 715094163)
    r = t * t / size
    s = 5.42857142857142815906e-01 + r * t
    t *= 3.57142857142857150787e-01 + 1.60714285714285720630e00 / (
        s + 1.41428571428571436819e00 + -7.05306122448979611050e-01 / s
    )
    t = _from_high(_high(t) + 1)
    r = size / (t * t)
    r = (r - t) / (t + t + r)
    return math.copysign(t + t * r, x)


def asin(x: float) -> float:
    """NaN outside of -1 to 1."""
    size = abs(x)
    if size == 1:
        return x * _PI_OVER_2 + x * _PI_OVER_2_LO
    if not size < 1:
        return math.nan
    if size < 0.5:
        return x if size < 2.0**-27 else x + x * _asin_ratio(x * x)
    t = (1.0 - size) * 0.5
    ratio, s = _asin_ratio(t), math.sqrt(t)
    if _high(size) >= 0x3FEF3333:
        return math.copysign(_PI_OVER_2 - (2.0 * (s + s * ratio) - _PI_OVER_2_LO), x)
    w = _without_low(s)
    c = (t - w * w) / (s + w)
    p = 2.0 * s * ratio - (_PI_OVER_2_LO - 2.0 * c)
    return math.copysign(_PI_OVER_4 - (p - (_PI_OVER_4 - 2.0 * w)), x)


def _asin_ratio(t: float) -> float:
    return t * _polynomial(_ASIN_P, t) / _polynomial(_ASIN_Q, t)


def acos(x: float) -> float:
    """NaN outside of -1 to 1."""
    if abs(x) == 1:
        return 0.0 if x > 0 else math.pi + 2.0 * _PI_OVER_2_LO
    if not abs(x) < 1:
        return math.nan
    if abs(x) < 0.5:
        return _PI_OVER_2 - (x - (_PI_OVER_2_LO - x * _asin_ratio(x * x)))
    if x < 0:
        z = (1.0 + x) * 0.5
        s = math.sqrt(z)
        return math.pi - 2.0 * (s + (_asin_ratio(z) * s - _PI_OVER_2_LO))
    z = (1.0 - x) * 0.5
    s = math.sqrt(z)
    df = _without_low(s)
    c = (z - df * df) / (s + df)
    return 2.0 * (df + (_asin_ratio(z) * s + c))


def atan(x: float) -> float:
    size = abs(x)
    if x != x or size < 2.0**-29:
        return x
    if size >= 2.0**66:
        return math.copysign(_PI_OVER_2 + _PI_OVER_2_LO, x)
    if size < 0.4375:
        return x - x * _atan_sum(x)
    if size < 0.6875:
        part, y = 0, (2.0 * size - 1.0) / (2.0 + size)
    elif size < 1.1875:
        part, y = 1, (size - 1.0) / (size + 1.0)
    elif size < 2.4375:
        part, y = 2, (size - 1.5) / (1.0 + 1.5 * size)
    else:
        part, y = 3, -1.0 / size
    return math.copysign(_ATAN_HI[part] - ((y * _atan_sum(y) - _ATAN_LO[part]) - y), x)


def _atan_sum(x: float) -> float:
    z = x * x
    w = z * z
    return z * _polynomial(_ATAN_EVEN, w) + w * _polynomial(_ATAN_ODD, w)


def atan2(y: float, x: float) -> float:
    if not (math.isfinite(x) and math.isfinite(y)) or x == 0 or y == 0:
        return math.atan2(y, x)  # exact there
    if x == 1:
        return atan(y)
    apart = (abs(_high(y) & 0x7FFFFFFF) - (_high(x) & 0x7FFFFFFF)) >> 20
    z = 0.0 if x < 0 and apart < -60 else atan(abs(y / x))
    if apart > 60:
        z = _PI_OVER_2 + 0.5 * _PI_LO
    if x < 0:
        z = math.pi - (z - _PI_LO)
    return math.copysign(z, y)
