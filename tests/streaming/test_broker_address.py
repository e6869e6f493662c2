from __future__ import annotations

import traceback
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tabloop.config.streaming import StreamSource
from tabloop.errors import ConfigError
from tabloop.streaming.broker_address import BrokerAddress, address_of

SECRET = "s3cr3t"  # noqa: S105 - nobody's


def address(kind: str, environ: dict[str, str]) -> BrokerAddress:
    source: Any = TypeAdapter(StreamSource).validate_python({"kind": kind, "url_env": "SHOP_URL"})
    return address_of(source, environ)


@given(user=st.text(min_size=1, max_size=12), password=st.text(min_size=1, max_size=12))
@pytest.mark.parametrize("scheme", ["redis", "rediss", "nats", "tls", "amqp", "amqps"])
def test_any_user_and_password_can_be_quoted_into_a_url(scheme: str, user: str, password: str) -> None:
    try:
        quoted = f"{quote(user, safe='')}:{quote(password, safe='')}"
    except UnicodeEncodeError:
        return
    kind = {"r": "redis", "n": "nats", "t": "nats", "a": "rabbitmq"}[scheme[0]]
    found = address(kind, {"SHOP_URL": f"{scheme}://{quoted}@broker.example:7000"})
    assert (found.user, found.password) == (user, password)
    assert found.servers == (f"{scheme}://broker.example:7000",)
    assert found.is_encrypted == (scheme in ("rediss", "tls", "amqps"))


@pytest.mark.parametrize(
    ("kind", "url", "said"),
    [
        ("redis", f"redis://ann:{SECRET}/x@cache:6379", "port is no number"),
        ("redis", f"redis://:{SECRET}#x@cache", "port is no number"),
        ("redis", f"redis://{SECRET}#x@cache", "a / ? or # stands before the @"),
        ("redis", f"redis://ann:12/{SECRET}@cache", "a / ? or # stands before the @"),
        ("redis", f"ann:{SECRET}@cache:6379", "its beginning is not redis://"),
        ("redis", f"http://ann:{SECRET}@cache", "its beginning is not redis://"),
        ("redis", f"redis://ann:{SECRET}@[::1", "its beginning is not redis://"),
        ("redis", f"redis://ann:{SECRET}@cache:99999", "port is no number"),
        ("redis", f"redis://ann:{SECRET}@cache/{SECRET}", "its path is no number of a database"),
        ("redis", f"redis://ann:{SECRET}@cache?db={SECRET}", "something behind the address"),
        ("nats", f"nats://ann:pass,{SECRET}@a:4222", "port is no number"),
        ("nats", f"nats://ann:{SECRET}@a,nats://b", "different users"),
        ("nats", f"nats://ann:{SECRET}@", "no usable host"),
        ("rabbitmq", f"amqp://ann:{SECRET}@host name/", "no usable host"),
        ("rabbitmq", f"amqp:/ann:{SECRET}@host/", "no usable host"),
        ("kafka", f"ann:{SECRET}@host:9092", "the user apart in SHOP_USER"),
        ("kafka", "host", "expected host:port"),
    ],
)
def test_a_malformed_url_is_refused_without_a_word_of_it(kind: str, url: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        address(kind, {"SHOP_URL": url})
    told = "".join(traceback.format_exception(caught.value))
    assert "SHOP_URL" in str(caught.value)
    assert SECRET not in told
    assert said in str(caught.value)


def test_user_password_and_files_may_stand_beside_the_url(tmp_path: Any) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("")
    environ = {
        "SHOP_URL": "rediss://old:older@cache", "SHOP_USER": "ann", "SHOP_PASSWORD": SECRET,
        "SHOP_CA_FILE": str(ca_file),
    }  # fmt: skip
    found = address("redis", environ)
    assert (found.user, found.password, found.ca_file) == ("ann", SECRET, str(ca_file))
    assert SECRET not in repr(found)
    with pytest.raises(ConfigError, match="SHOP_URL: TLS cannot use"):
        found.ssl_context()
    with pytest.raises(ConfigError, match=r"SHOP_KEY_FILE: no file 'none\.pem'"):
        address("redis", environ | {"SHOP_KEY_FILE": "none.pem"})


@pytest.mark.parametrize(
    ("environ", "protocol"),
    [
        ({}, "PLAINTEXT"),
        ({"SHOP_CA_FILE": __file__}, "SSL"),
        ({"SHOP_SECURITY_PROTOCOL": "ssl"}, "SSL"),
        ({"SHOP_USER": "ann", "SHOP_PASSWORD": SECRET}, "SASL_SSL"),  # no password without TLS unless asked
        (
            {"SHOP_USER": "ann", "SHOP_PASSWORD": "x", "SHOP_SECURITY_PROTOCOL": "SASL_PLAINTEXT"},
            "SASL_PLAINTEXT",
        ),
    ],
)
def test_kafka_settings_become_those_of_librdkafka(environ: dict[str, str], protocol: str) -> None:
    from confluent_kafka import Producer

    from tabloop.streaming.brokers.kafka import client_config

    config = client_config(address("kafka", {"SHOP_URL": "a:9092,b:9093"} | environ))
    assert config["security.protocol"] == protocol
    assert config["bootstrap.servers"] == "a:9092,b:9093"
    assert config.get("sasl.password") == environ.get("SHOP_PASSWORD")
    if "SHOP_CA_FILE" in environ:
        assert config["ssl.ca.location"] == __file__
    else:
        Producer(config)  # librdkafka takes them


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"SHOP_SECURITY_PROTOCOL": "TLS"}, "expected one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ({"SHOP_USER": "ann", "SHOP_SASL_MECHANISM": "MD5"}, "expected one of PLAIN, SCRAM-SHA-256"),
        ({"SHOP_USER": "ann", "SHOP_SECURITY_PROTOCOL": "SSL"}, "a user needs SASL"),
        ({"SHOP_SECURITY_PROTOCOL": "SASL_SSL"}, "SASL needs a user"),
    ],
)
def test_kafka_settings_that_contradict_each_other_are_refused(environ: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        address("kafka", {"SHOP_URL": "a:9092"} | environ)
