"""Keys hash as every client of Kafka hashes them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner import murmur2

from streamguard.kafka.partitions import positive_murmur2


@given(st.binary(max_size=64))
def test_the_hash_is_that_of_the_client(key: bytes) -> None:
    assert positive_murmur2(key) == murmur2(key) & 0x7FFFFFFF
