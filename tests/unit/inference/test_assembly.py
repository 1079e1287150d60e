from types import ModuleType, SimpleNamespace

import pytest
from support.builders import answer, form

from sagemaker_inference._aws.script_functions import adopt
from sagemaker_inference._inference import decoding
from sagemaker_inference._inference.assembly import assemble
from sagemaker_inference._program import roles
from sagemaker_inference._program.registry import Registry
from sagemaker_inference.errors import (
    DecodeError,
    NotAcceptableError,
    RegistrationError,
    StartError,
    UnprocessableInputError,
    UnsupportedMediaTypeError,
)


def load(model_dir): ...


def predict(data): ...


@pytest.fixture
def whole(registry):
    registry.model_loader(load)
    registry.predictor(predict)
    return registry


def test_a_program_needs_a_model_loader_and_a_predictor(registry):
    with pytest.raises(StartError, match=r"inference\.py registers no model_loader"):
        assemble(registry, "inference.py")
    with pytest.raises(RegistrationError, match="registered after the program was assembled"):
        registry.predictor(predict)


def test_a_transformer_takes_the_place_of_a_predictor(registry):
    registry.model_loader(load)
    registry.transformer(lambda model, body: body)
    handler = assemble(registry, "inference.py")
    assert handler.predictor is None
    assert handler.transformer is not None


def test_the_programs_own_types_go_before_the_built_in_ones(whole):
    whole.decoder("image/png")(lambda body: body)
    whole.encoder("text/*", "text/plain")(lambda data: data)
    handler = assemble(whole, "inference.py")
    assert handler.readable[0] == "image/png"
    assert handler.readable.count("application/json") == 1
    assert handler.writable[:2] == ("text/*", "text/plain")
    assert handler.encoders.default_accept == "text/plain"


def test_json_is_the_default_answer_and_the_variable_goes_before_it(whole, monkeypatch):
    assert assemble(whole, "inference.py").encoders.default_accept == "application/json"
    monkeypatch.setenv("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/csv")
    handler = assemble(whole, "inference.py")
    assert handler.encoders.default_accept == "text/csv"
    assert handler.encoders.for_accept("").content_type == "text/csv"
    assert handler.encoders.for_accept("*/*").content_type == "text/csv"


def test_the_default_goes_before_others_where_the_client_leaves_the_choice(whole, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "image/png, text/csv")
    handler = assemble(whole, "inference.py")
    assert handler.encoders.for_accept("text/html, */*;q=0.8").content_type == "text/csv"
    assert handler.encoders.for_accept("application/json, */*").content_type == "application/json"


def test_a_default_that_nothing_writes_is_refused(whole, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/x-foo")
    with pytest.raises(StartError, match="ACCEPT='application/x-foo' is not supported"):
        assemble(whole, "inference.py")
    whole = Registry()
    whole.model_loader(load)
    whole.predictor(predict)
    whole.encoder("*/*")(lambda data, accept: (b"", accept))
    handler = assemble(whole, "inference.py")
    assert handler.encoders.for_accept("").content_type == "application/x-foo"
    assert handler.encoders.for_accept("foo/*").content_type == "foo/*"
    assert (
        handler.encoders.for_accept("foo/*, application/json;q=0.5").content_type
        == "application/json"
    )
    assert handler.encoders.for_accept("text/*").content_type == "text/csv"


def test_an_unknown_content_type_is_answered_415_with_what_is_known(whole):
    handler = assemble(whole, "inference.py")
    with pytest.raises(UnsupportedMediaTypeError) as caught:
        handler.decoders.for_content_type("image/gif; q=1")
    assert caught.value.message.startswith("Content-Type 'image/gif' is not supported; send one of")
    assert "application/json" in caught.value.message


def test_an_accept_that_nothing_satisfies_is_answered_406_with_what_is_known(whole):
    handler = assemble(whole, "inference.py")
    with pytest.raises(NotAcceptableError) as caught:
        handler.encoders.for_accept("image/gif")
    assert caught.value.message.startswith("Accept 'image/gif' is not supported; accept")
    assert "application/json" in caught.value.message


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "application/json"),
        ("text/csv", "text/csv"),
        ("text/csv;q=0.5, application/json", "application/json"),
        ("image/gif, text/*", "text/csv"),
        ("application/json;q=0, */*", "text/csv"),
        ("text/json", "text/json"),
    ],
)
def test_the_answers_type_is_negotiated(whole, accept, chosen):
    assert assemble(whole, "inference.py").encoders.for_accept(accept).content_type == chosen


def test_the_most_specific_of_the_programs_decoders_reads(whole):
    for pattern in ("*/*", "image/*", "image/png"):
        whole.decoder(pattern)(lambda body, content_type, pattern=pattern: pattern)
    handler = assemble(whole, "inference.py")
    for content_type, pattern in {
        "image/png": "image/png",
        "image/gif": "image/*",
        "application/json": "*/*",
    }.items():
        found = handler.decoders.for_content_type(content_type)
        assert found.handler.function.__defaults__ == (pattern,)


def test_an_encoder_of_a_wildcard_writes_what_the_client_names(whole):
    whole.encoder("image/*")(lambda data: b"")
    encoding = assemble(whole, "inference.py").encoders.for_accept("image/png")
    assert encoding.content_type == "image/png"
    assert encoding.handler is not None


def test_a_body_without_a_content_type_is_json_or_csv_by_its_look(whole, context):
    found = assemble(whole, "inference.py").decoders.for_content_type("")
    assert found.read(b' {"a": 1}', "") == {"a": 1}
    assert found.read(b"1,2\n", "").tolist() == [[1, 2]]


def test_a_body_without_a_content_type_goes_to_the_programs_first_decoder(whole, context):
    whole.decoder("image/png")(lambda body: ("read", body))
    found = assemble(whole, "inference.py").decoders.for_content_type("")
    assert found.read(b"x", "", context) == ("read", b"x")


def test_a_body_without_a_content_type_goes_to_a_frameworks_decoder_as_a_script_gets_it(
    whole, context
):
    defaults = Registry()
    names = {"default_input_fn": roles.DECODER}

    class Framework:
        @staticmethod
        def default_input_fn(body, content_type):
            return body, content_type

    adopt(defaults, Framework, names)
    decoders = assemble(whole, "inference.py", defaults).decoders
    assert decoders.for_content_type("").read(b"0:1", "", context) == (b"0:1", None)
    assert decoders.assumed_type(b"[1]") == "*/*"


def test_a_predict_fn_gets_the_shapes_of_awss_toolkit_without_a_content_type(registry, context):
    scripts = SimpleNamespace(model_fn=load, predict_fn=lambda data, model: data)
    adopt(registry, scripts)
    found = assemble(registry, "inference.py").decoders.for_content_type("")
    assert found.read(b"1,2\n", "", context).shape == (2,)
    assert found.read(b'{"a": 1}', "", context).shape == ()


def test_what_clients_send_is_remembered_within_bounds(whole):
    handler = assemble(whole, "inference.py")
    for lookup in (handler.decoders.for_content_type, handler.encoders.for_accept):
        assert lookup("text/csv") is lookup("text/csv")
        for index in range(600):
            lookup(f"text/csv; v={index}")
        info = lookup.cache_info()
        assert info.currsize == info.maxsize == 256
        # Odd headers do not switch the cache off.
        assert lookup("text/csv") is lookup("text/csv")


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("image/*", "application/json"),
        ("image/png", "image/png"),
        ("image/png;q=0.1, text/csv", "text/csv"),
        ("image/png;q=0", "application/json"),
    ],
)
def test_a_transformer_is_told_the_clients_first_concrete_type(whole, accept, wanted):
    assert assemble(whole, "inference.py").encoders.preferred(accept) == wanted


def bodies(kind):
    """What a decoder gets whose parameter has this annotation."""
    registry = Registry()
    registry.model_loader(load)
    registry.predictor(predict)

    def read(body): ...

    if kind is not None:
        read.__annotations__["body"] = kind
    registry.decoder("*/*")(read)
    (found,) = assemble(registry, "inference.py").decoders.registered
    return decoding.body_converter(found)


def test_a_decoder_gets_the_body_as_its_annotation_says():
    view = memoryview(b"caf\xe9")
    assert bodies(None)(view, "") == b"caf\xe9"
    same = b"bytes"
    assert bodies(bytes)(same, "") is same
    assert bodies("str")(view, "text/csv; charset=latin-1") == "café"
    shown = bodies(memoryview)(bytearray(b"x"), "")
    assert isinstance(shown, memoryview)


def test_text_in_another_charset_than_it_says_is_refused():
    with pytest.raises(DecodeError, match="not valid utf-8 at byte 0"):
        bodies(str)(b"\xff", "text/csv")
    with pytest.raises(UnsupportedMediaTypeError, match="Charset 'klingon'"):
        bodies(str)(b"a", "text/csv; charset=klingon")


def test_script_functions_get_json_and_csv_as_text_and_others_as_bytes(registry):
    seen = []
    registry.model_loader(load)
    registry.predictor(lambda data: data)
    module = ModuleType("inference")
    module.input_fn = lambda body, content_type: seen.append((body, content_type)) or [1]
    adopt(registry, module)
    handler = assemble(registry, "inference.py")
    for content_type in ("application/json", "text/csv; charset=utf-8", "image/png"):
        handler.decoders.for_content_type(content_type).read(b"7", content_type, None)
    assert seen == [
        ("7", "application/json"),
        ("7", "text/csv"),
        (bytearray(b"7"), "image/png"),
    ]
    assert isinstance(seen[2][0], bytearray)


def test_a_program_is_async_when_any_of_its_handlers_awaits():
    async def awaits(one): ...

    async def whole_path(model, body): ...

    def program(**extra):
        registry = Registry()
        registry.model_loader(load)
        if "transformer" in extra:
            registry.transformer(extra["transformer"])
        else:
            registry.predictor(extra.get("predictor", predict))
        for name in ("decoder", "encoder"):
            if name in extra:
                getattr(registry, name)("text/csv")(extra[name])
        return assemble(registry, "inference.py").concurrency.is_async

    assert not program()
    assert program(predictor=awaits)
    assert program(decoder=awaits)
    assert program(encoder=awaits)
    assert program(transformer=whole_path)


def test_the_plan_follows_the_decorator_and_variables_go_before_it(registry, monkeypatch):
    registry.model_loader(load)
    registry.predictor(max_batch_size=4, max_batch_delay=0.1)(predict)
    plan = assemble(registry, "inference.py").concurrency
    assert (plan.max_batch_size, plan.max_batch_delay) == (4, 0.1)
    monkeypatch.setenv("SAGEMAKER_MAX_BATCH_SIZE", "8")
    monkeypatch.setenv("SAGEMAKER_MAX_BATCH_DELAY", "0.5")
    plan = assemble(registry, "inference.py").concurrency
    assert (plan.max_batch_size, plan.max_batch_delay) == (8, 0.5)


def test_an_async_program_says_how_many_requests_it_handles_at_the_same_time(monkeypatch):
    async def predict(data): ...

    def plan(**options):
        registry = Registry()
        registry.model_loader(load)
        registry.predictor(**options)(predict)
        return assemble(registry).concurrency

    assert plan().limit == 32
    assert plan(max_concurrency=100).limit == 100
    monkeypatch.setenv("SAGEMAKER_MAX_CONCURRENCY", "64")
    assert plan(max_concurrency=100).limit == 64


def test_concurrent_requests_for_a_blocking_program_are_refused(whole, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_MAX_CONCURRENCY", "8")
    with pytest.raises(StartError, match=r"Write @predictor\(threads=8\)"):
        assemble(whole)


def test_a_variable_for_many_models_leaves_blocking_ones_as_they_are(whole, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_MAX_CONCURRENCY", "8")
    monkeypatch.setenv("SAGEMAKER_MULTI_MODEL", "true")
    assert assemble(whole).concurrency.limit == 1


def test_batches_for_a_predictor_that_takes_one_request_are_refused(whole, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_MAX_BATCH_SIZE", "8")
    with pytest.raises(StartError, match="the predictor takes one request at a time"):
        assemble(whole, "inference.py")


def test_a_form_part_of_an_unknown_type_stays_bytes(registry):
    registry.model_loader(load)
    registry.predictor(repr)
    response = answer(registry, form(("petal", "image/gif", b"GIF"), accept="text/plain"))
    assert response.body == b"{'petal': b'GIF'}"


def test_taking_pickles_is_said_at_the_start(whole, monkeypatch, caplog):
    monkeypatch.setenv("SAGEMAKER_ALLOW_PICKLE", "1")
    assemble(whole, "inference.py")
    assert "SAGEMAKER_ALLOW_PICKLE is on" in caplog.text


def test_a_body_without_a_content_type_becomes_what_the_hint_asks_for(registry):
    def predict(data: dict[str, float]): ...

    registry.model_loader(load)
    registry.predictor(predict)
    found = assemble(registry, "inference.py").decoders.for_content_type("")
    assert found.read(b'{"a": 1}', "") == {"a": 1.0}
    with pytest.raises(UnprocessableInputError):
        found.read(b'{"a": "b"}', "")
