"""The code lists that a record is checked against, held here so that a check costs one set lookup and no network.

Sources: ISO 4217 (currencies in circulation and their minor units, list one of 2025, without funds, metals and test codes)
and ISO 3166-1 (the 249 officially assigned alpha-2 codes, plus XK, the user-assigned code that card schemes use for Kosovo).
"""

from __future__ import annotations

_CURRENCIES_IN_USE = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY
    COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS
    INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP
    MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR
    SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV
    WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""

# Withdrawn since 2018: replayed transactions of those years have them.
_CURRENCIES_OF_THE_PAST = "ANG CUC HRK MRO SLL STD VEF ZWL"

CURRENCIES: frozenset[str] = frozenset((_CURRENCIES_IN_USE + _CURRENCIES_OF_THE_PAST).split())

NO_PLACES = frozenset("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split())
"""The currencies without a minor unit; the DEFINE `no_places` of the SQL files."""
THREE_PLACES = frozenset("BHD IQD JOD KWD LYD OMR TND".split())
"""The currencies whose minor unit is a thousandth; the DEFINE `three_places` of the SQL files."""

_PLACES = dict.fromkeys(NO_PLACES, 0) | dict.fromkeys(THREE_PLACES, 3)


def places(currency: str) -> int:
    """The decimal places of an ISO 4217 currency in upper case: 0, 2 or 3."""
    return _PLACES.get(currency, 2)


_COUNTRY_CODES = """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC
    CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD
    GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH
    KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW
    MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC
    SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY
    UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW
"""

COUNTRIES: frozenset[str] = frozenset(_COUNTRY_CODES.split())
