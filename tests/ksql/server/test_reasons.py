"""Heads of HTTP/1.1 answers say their reason."""

import h11
from streamguard.ksql.server.reasons import with_reason


def test_a_head_gets_the_phrase_of_its_status() -> None:
    assert with_reason(h11.Response(status_code=200, headers=[])).reason == b"OK"
    assert with_reason(h11.Response(status_code=404, headers=[])).reason == b"Not Found"
    assert with_reason(h11.InformationalResponse(status_code=101, headers=[])).reason == b"Switching Protocols"


def test_other_events_and_given_phrases_stay() -> None:
    end = h11.EndOfMessage()
    assert with_reason(end) is end
    given = h11.Response(status_code=200, headers=[], reason=b"Fine")
    assert with_reason(given) is given
