"""Which field of the records is which field of a transaction: by its name first, checked by its values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from streamguard.ingest.topics.fields import Field
from streamguard.models.iso import COUNTRIES, CURRENCIES

NAMES: dict[str, str] = {
    "transaction_id": "transactionid transid txid txnid trxid paymentid transnum transactionnumber transactionref"
    " transactionreference eventid orderid id uuid reference",
    "account_id": "accountid accountno accountnumber account payeraccount debtoraccount sourceaccount fromaccount nameorig"
    " customerid customerno customer cardid cardnumber ccnum card pan iban payerid payer senderid sender userid user"
    " clientid client memberid walletid wallet msisdn",
    "amount": "amount transactionamount transamount txamount paymentamount amt amountvalue moneyvalue value total"
    " totalamount grossamount sum price amountcents amountminor",
    "currency": "currency currencycode isocurrencycode amountcurrency transactioncurrency ccy curr cur",
    "event_time": "eventtime eventtimestamp transactiontime transactiondate txtime txdatetime transdatetranstime occurredat"
    " paidat authorizedat createdat created creationtime timestamp ts datetime time date at bookedat bookingdate valuedate"
    " processedat eventtimems tsms unixtime transtime",
    "transaction_type": "transactiontype txtype paymenttype type kind",
    "channel": "channel paymentchannel entrymode",
    "merchant_id": "merchantid merchantno merchantnumber terminalid payeeid creditorid namedest",
    "merchant_name": "merchantname merchant payeename payee creditorname",
    "merchant_category": "merchantcategory merchantcategorycode mcc categorycode category",
    "city": "city merchantcity locationcity town",
    "country": "country countrycode merchantcountry merchantcountrycode locationcountry",
    "latitude": "latitude lat merchantlat merchantlatitude",
    "longitude": "longitude lon lng long merchantlong merchantlongitude",
    "device_id": "deviceid device devicefingerprint",
    "ip_address": "ipaddress ip clientip remoteip",
}
"""For each field of a transaction the names that others give it, without case and signs, the likeliest first."""

_NEEDS_ITS_PARENT = frozenset(
    "id name type kind value code number reference category created date at total sum".split()
)
"""Names that say nothing without the object that they are in: merchant.id is no transaction's id."""

_OF_THE_PAYMENT = ("city", "country", "latitude", "longitude", "event_time")
_PEOPLE = frozenset("card customer account user client cardholder holder issuer billing payer sender".split())
"""Whose place and time (of opening an account) are not those of the transaction."""

_SIGNS = re.compile(r"[^a-z0-9]")


def candidates(role: str, fields: Iterable[Field], depth: int) -> list[Field]:
    """The fields whose name fits, the likeliest first. `depth` is how many names of a path lead to the payment."""
    aliases = NAMES[role].split()
    ranked = []
    for order, field in enumerate(fields):
        path = [_SIGNS.sub("", name.lower()) for name in field.path[depth:]]
        whole, last = "".join(path), path[-1]
        if whole in aliases:
            ranked.append((0, aliases.index(whole), order, field))
        elif (
            last in aliases and last not in _NEEDS_ITS_PARENT and not (role in _OF_THE_PAYMENT and _PEOPLE & set(path))
        ):
            ranked.append((1, aliases.index(last), order, field))
    return [field for *_, field in sorted(ranked, key=lambda entry: entry[:3])]


def _texts(field: Field) -> list[str]:
    return [value if isinstance(value, str) else str(value) for value in field.values]


def _short(field: Field) -> bool:
    return all(0 < len(text) <= 255 for text in _texts(field)) and "boolean" not in field.kinds


def _coordinate(most: int) -> Callable[[Field], bool]:
    return lambda field: (
        set(field.kinds) <= {"whole", "number", "null"} and all(abs(value) <= most for value in field.values)
    )


FITS: dict[str, Callable[[Field], bool]] = {
    # A record may be there twice; a name such as `reference` may also be that of something else.
    "transaction_id": lambda field: _short(field) and len(set(_texts(field))) >= 0.9 * len(field.values),
    "account_id": _short,
    "currency": lambda field: all(text.strip().upper() in CURRENCIES for text in _texts(field)),
    "country": lambda field: all(text in COUNTRIES for text in _texts(field)),
    "latitude": _coordinate(90),
    "longitude": _coordinate(180),
}
"""What the values of a field have to be; any may be text. Amounts and times have modules of their own."""


def role_of(role: str, fields: Iterable[Field], depth: int) -> Field | None:
    """The likeliest field whose values fit."""
    fits = FITS.get(role)
    return next((field for field in candidates(role, fields, depth) if fits is None or fits(field)), None)
