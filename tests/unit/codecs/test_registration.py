"""Codecs of third parties: registered, offered, negotiated and used like the built-in ones."""

from __future__ import annotations

import doctest
import sys

import pytest
from support.builders import answer, error_of, form, request

from sagemaker_inference import codecs
from sagemaker_inference._inference.assembly import assemble
from sagemaker_inference.codecs import Codec, _catalogue, _extras, json
from sagemaker_inference.errors import (
    NotAcceptableError,
    RegistrationError,
    UnsupportedMediaTypeError,
)

HEX = Codec(
    "hex",
    ("text/x-hex", "text/hex"),
    decode=lambda body, content_type: list(bytes.fromhex(str(body, "ascii"))),
    encode=lambda prediction, content_type: bytes(list(prediction)).hex().encode(),
)


@pytest.fixture(autouse=True)
def isolated():
    with codecs.isolated():
        yield


@pytest.fixture
def echo(registry):
    """A program that answers with its input."""
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)
    return registry


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module that an installed package could have."""

    def write(name, source):
        (tmp_path / f"{name}.py").write_text(source)

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    modules = set(sys.modules)
    yield write
    for name in set(sys.modules) - modules:
        del sys.modules[name]


SOURCE = """
def decode(body, content_type):
    return [len(body)]

def encode(prediction, content_type):
    return b"x" * prediction[0]
"""


def test_a_registered_codec_reads_requests_and_writes_responses(echo):
    codecs.register(HEX)
    response = answer(echo, request(b"01ff", "text/x-hex"))
    assert (response.body, response.content_type) == (b"[1,255]", "application/json")
    response = answer(echo, request(b"[1, 255]", accept="text/x-hex"))
    assert (response.body, response.content_type) == (b"01ff", "text/x-hex")
    response = answer(echo, request(b"02", "Text/HEX; charset=ascii", "image/gif, text/*;q=0.1"))
    assert response.status == 200
    response = answer(echo, request(b"02", "text/hex", "text/hex"))
    assert (response.body, response.content_type) == (b"02", "text/hex")


def test_a_registered_codec_is_offered_after_the_built_in_ones(echo):
    codecs.register(HEX)
    handler = assemble(echo)
    assert handler.readable[-1] == handler.writable[-1] == "text/x-hex"
    assert error_of(answer(echo, request(b"", "x/y")))["message"].endswith("text/x-hex.")
    assert error_of(answer(echo, request(accept="x/y")))["message"].endswith("text/x-hex.")


def test_a_registered_codec_reads_parts_of_forms(echo):
    codecs.register(HEX)
    response = answer(echo, form(("a", "text/x-hex", b"01ff")))
    assert response.body == b'{"a":[1,255]}'


def test_decoders_and_encoders_of_a_program_override_codecs(echo):
    codecs.register(HEX)
    echo.decoder("text/x-hex")(lambda body: "decoder")
    echo.encoder("text/x-hex")(lambda data: f"encoder after {data}")
    response = answer(echo, request(b"01ff", "text/x-hex", "text/x-hex"))
    assert response.body == b"encoder after decoder"


def test_look_ups_notice_a_later_registration(echo):
    handler = assemble(echo)
    assert codecs.for_content_type("text/x-hex") is None
    with pytest.raises(NotAcceptableError):
        handler.encoders.for_accept("text/x-hex")
    csv = handler.decoders.for_content_type("text/csv").read
    part = handler.decoders.for_part("text/x-hex").read
    assert part(b"01", "text/x-hex") == b"01"
    codecs.register(HEX)
    codecs.register(Codec("csv", ("text/csv",), HEX.decode, HEX.encode))
    assert codecs.for_content_type("text/x-hex") == HEX
    assert handler.encoders.for_accept("text/x-hex").write is HEX.encode
    assert handler.encoders.for_accept("text/csv").write is HEX.encode
    assert handler.decoders.for_content_type("text/csv").read is HEX.decode is not csv
    assert handler.decoders.for_part("text/x-hex").read is HEX.decode


def test_the_last_registration_of_a_content_type_wins_and_keeps_its_rank():
    before = codecs.encodable()
    replacement = Codec("lengths", ("application/json",), lambda body, _: len(body), HEX.encode)
    codecs.register(replacement)
    assert codecs.for_content_type("application/json") == replacement
    assert codecs.for_content_type("text/json").decode is json.decode
    assert codecs.encodable() == before
    codecs.register(HEX)
    codecs.register(HEX)
    assert codecs.encodable() == (*before, "text/x-hex")


def test_a_content_type_that_was_offered_stays_offered_as_an_alias():
    codecs.register(Codec("hex", ("text/x-hex", "application/json"), HEX.decode, HEX.encode))
    assert codecs.encodable()[0] == "application/json"
    assert codecs.encodable()[-1] == "text/x-hex"


def test_isolated_undoes_registrations():
    before = codecs.encodable()
    with codecs.isolated():
        codecs.register(HEX)
        assert codecs.for_content_type("text/x-hex") == HEX
    assert codecs.for_content_type("text/x-hex") is None
    assert codecs.encodable() == before


def test_a_codec_may_go_one_way_only(echo):
    codecs.register(Codec("in", ("text/x-in",), decode=HEX.decode))
    codecs.register(Codec("out", ("text/x-out",), encode=HEX.encode))
    assert codecs.decodable()[-1] == "text/x-in"
    assert codecs.encodable()[-1] == "text/x-out"
    assert answer(echo, request(b"", "text/x-out")).status == 415
    assert answer(echo, request(accept="text/x-in")).status == 406


def test_a_module_is_imported_when_its_format_is_first_used(module, echo):
    module("acme_lengths", SOURCE)
    codecs.register("acme_lengths", "Application/X-Lengths", "application/lengths")
    assert "application/x-lengths" in codecs.decodable()
    assert "acme_lengths" not in sys.modules
    codec = codecs.for_content_type("application/lengths")
    assert "acme_lengths" in sys.modules
    assert codec.name == "acme_lengths"
    assert codec.content_types == ("application/x-lengths", "application/lengths")
    assert codec is codecs.for_content_type("application/x-lengths")
    asked = request(b"abc", "application/x-lengths", "application/x-lengths")
    assert answer(echo, asked).body == b"xxx"


def test_a_module_that_needs_a_missing_library_is_not_imported(module, echo, caplog):
    module("acme_avro", "import no_such_library\n" + SOURCE)
    codecs.register(
        "acme_avro",
        "application/avro",
        decode_needs="no_such_library",
        encode_needs="no_such_library.of_a_package",
        install="acme[avro]",
    )
    assert "application/avro" not in (*codecs.decodable(), *codecs.encodable())
    response = answer(echo, request(b"", "application/avro"))
    message = error_of(response)["message"]
    assert response.status == 415
    assert message.startswith("application/avro is not supported here; send one of: application/js")
    assert answer(echo, request(accept="application/avro")).status == 406
    for library in ("no_such_library", "no_such_library.of_a_package"):
        fix = f"application/avro needs {library}, which is not installed: pip install 'acme[avro]'"
        assert fix in caplog.text
    assert codecs.fix_for("application/avro") in caplog.text


def test_one_function_of_a_codec_may_need_a_library(uninstall):
    uninstall("scipy")
    codecs.register(HEX, decode_needs="scipy")
    codec = codecs.for_content_type("text/x-hex")
    assert codec.encode is HEX.encode
    with pytest.raises(UnsupportedMediaTypeError, match="text/x-hex is not supported here"):
        codec.decode(b"", "text/x-hex")


def test_the_fix_names_the_library_or_the_extra_that_brings_it():
    assert _extras.fix_for("avro", "A").endswith("pip install 'avro'")
    assert _extras.fix_for("scipy", "A").endswith("pip install 'sagemaker-inference[scipy]'")


@pytest.mark.parametrize("names", [(), ("avro",), ("image/*",), ("*/*",), ("text/x; v=1",), ("",)])
def test_a_codec_needs_plain_content_types(names):
    with pytest.raises(RegistrationError, match=r"'acme\.avro' needs .* 'application/x-avro'"):
        codecs.register("acme.avro", *names)
    with pytest.raises(RegistrationError, match="Codec 'hex' needs content types"):
        codecs.register(Codec("hex", names, HEX.decode))


def test_the_example_in_the_docstring_runs():
    assert doctest.testmod(_catalogue, raise_on_error=True).attempted > 0


def test_bytes_are_refused_where_a_codec_of_their_own_only_reads(registry):
    codecs.register(Codec("raw", ("application/octet-stream",), decode=lambda body, _type: body))
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: b"\xff")
    response = answer(registry, request())
    assert (response.status, error_of(response)["code"]) == (500, "unencodable_prediction")
