import functools
import inspect
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_inference._program import signatures
from sagemaker_inference._program.roles import (
    DECODER,
    HEALTH_CHECK,
    MODEL_LOADER,
    PREDICTOR,
    TRANSFORMER,
)
from sagemaker_inference._program.signatures import Handler
from sagemaker_inference.errors import RegistrationError


def called(function, role=PREDICTOR):
    """What a handler returns when it is offered the names of its role's offers."""
    return Handler.from_function(role, function).call(*role.arguments, "context")


def refusal(function, role=PREDICTOR):
    with pytest.raises(RegistrationError) as caught:
        Handler.from_function(role, function)
    return str(caught.value)


def test_a_function_that_takes_everything_as_offered_is_called_itself():
    def predict(data, model, context): ...

    assert Handler.from_function(PREDICTOR, predict).call is predict


def test_positional_parameters_are_filled_from_the_left():
    assert called(lambda: "nothing", MODEL_LOADER) == "nothing"
    assert called(lambda one: one) == "data"
    assert called(lambda one, two: (one, two)) == ("data", "model")
    assert called(lambda one, two, three: (one, two, three)) == ("data", "model", "context")


def test_a_parameter_named_context_gets_the_context_wherever_it_stands():
    assert called(lambda context, one: (context, one)) == ("context", "data")
    assert called(lambda one, context: (one, context)) == ("data", "context")
    assert called(lambda one, context=None: (one, context)) == ("data", "context")
    assert called(lambda one, *, context: (one, context)) == ("data", "context")


def test_one_more_parameter_with_a_default_of_none_does_not_get_the_context():
    assert called(lambda one, two, threshold=None: threshold) is None


@pytest.mark.parametrize("name", ["ctx", "_ctx", "_context"])
def test_one_more_parameter_that_is_named_like_the_context_gets_it(name):
    function = eval(f"lambda one, two, size=1, {name}=None: (size, {name})")  # noqa: S307
    assert called(function) == (1, "context")


def test_one_more_parameter_with_another_default_keeps_it():
    assert called(lambda data, model, preferred_batch_size=1: preferred_batch_size) == 1
    both = called(lambda data, model, size=1, context=None: (size, context))
    assert both == (1, "context")


def test_a_positional_only_context_behind_a_default_keeps_its_own():
    def predict(data, model, size=1, context=None, /):
        return size, context

    assert called(predict) == (1, None)


def test_a_second_spare_parameter_does_not_get_the_context_too():
    assert called(lambda data, model, ctx, other=None: (ctx, other)) == ("context", None)


def test_keyword_only_parameters_are_filled_by_name():
    assert called(lambda *, model, data: (data, model)) == ("data", "model")
    assert called(lambda data, *, extra=3: (data, extra)) == ("data", 3)


def test_star_arguments_get_the_offers_that_are_left():
    assert called(lambda *offers: offers) == ("data", "model")
    assert called(lambda data, *rest: rest) == ("model",)
    assert called(lambda data, **rest: rest) == {"model": "model"}


def test_methods_callables_partials_and_classes_are_handlers():
    class Model:
        def predict(self, data, model):
            return "method", data

        def __call__(self, data):
            return "callable", data

        @staticmethod
        def static(data):
            return "static", data

    class Result:
        def __init__(self, data):
            self.data = data

    assert called(Model().predict) == ("method", "data")
    assert called(Model()) == ("callable", "data")
    assert called(Model.static) == ("static", "data")
    assert called(Result).data == "data"
    assert called(functools.partial(lambda fixed, data: (fixed, data), "f")) == ("f", "data")


def test_a_decorated_function_is_called_by_its_own_signature():
    def twice(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return [function(*args, **kwargs)] * 2

        return wrapper

    assert called(twice(lambda data, model: data)) == ["data", "data"]


def test_a_builtin_without_a_signature_gets_what_the_role_cannot_do_without():
    with pytest.raises(ValueError, match="no signature"):
        inspect.signature(max)
    handler = Handler.from_function(PREDICTOR, max, checks_names=True)
    assert handler.call("data", "model", "context") == "t"
    assert handler.hints == {}


@given(st.integers(0, 6), st.booleans())
def test_every_function_of_positional_parameters_is_callable_or_refused(count, has_context):
    names = [f"p{index}" for index in range(count)] + ["context"] * has_context
    function = eval(f"lambda {', '.join(names)}: ({', '.join(names)},)" if names else "lambda: ()")  # noqa: S307
    taken = count - (0 if has_context or count < 3 else 1)
    if 1 <= taken <= 2:
        expected = (*PREDICTOR.arguments, "context")[:count] + ("context",) * has_context
        assert called(function) == expected
    else:
        refusal(function)


def test_a_predictor_of_four_arguments_is_refused():
    def predict(data, model, context, threshold): ...

    message = refusal(predict)
    assert "predict (" in message
    assert f"line {predict.__code__.co_firstlineno})" in message
    assert "takes 4 arguments (data, model, context, threshold)" in message
    assert "@predictor passes at most 3" in message
    assert "Write: def predict(data, model, context), or give the others defaults." in message


def test_a_predictor_of_no_arguments_is_refused():
    assert "takes too few arguments. Write: def predict(data)" in refusal(self_less := _predict)
    assert self_less is _predict


def _predict(): ...


_predict.__name__ = "predict"


def test_a_transformer_must_take_model_and_body():
    assert "Write: def transform(model, body)" in refusal(_transform, TRANSFORMER)


def _transform(model): ...


_transform.__name__ = "transform"


def test_a_keyword_that_nobody_gives_is_refused():
    message = refusal(lambda data, *, threshold: None)
    assert "whose keyword-only parameter 'threshold' is never passed" in message
    assert "@predictor passes data, model, context: " in message


def test_a_method_in_a_class_body_is_refused():
    class Model:
        def predict(self, data): ...

    message = refusal(Model.predict)
    assert "a method without an instance" in message
    assert "predictor(instance.predict)" in message


def test_what_cannot_be_called_is_refused():
    message = refusal(5)
    assert "@predictor got 5, which is not callable" in message
    assert "def predictor(data, model, context): ..." in message


def test_an_async_health_check_is_refused():
    async def check(model): ...

    message = refusal(check, HEALTH_CHECK)
    assert "check (" in message
    assert "Make it a plain def" in message


def test_async_functions_methods_callables_and_partials_are_known():
    async def predict(data): ...

    class Model:
        async def predict(self, data): ...

        async def __call__(self, data): ...

    for function in (predict, Model().predict, Model(), functools.partial(predict)):
        assert Handler.from_function(PREDICTOR, function).is_async
    assert not Handler.from_function(PREDICTOR, lambda data: data).is_async


def test_a_plain_function_around_an_async_one_is_not_async():
    async def predict(data): ...

    @functools.wraps(predict)
    def blocking(data):
        return data

    assert not Handler.from_function(PREDICTOR, blocking).is_async


def test_hints_are_evaluated_by_offer():
    def decode(body: str, kind: "bytes", context: int): ...

    assert Handler.from_function(DECODER, decode).hints == {"body": str, "content_type": bytes}
    assert Handler.from_function(DECODER, lambda body: body).hints == {}


def test_hints_of_keyword_only_parameters_go_by_name():
    def transform(model, *, accept: str, body: memoryview): ...

    assert Handler.from_function(TRANSFORMER, transform).hints == {
        "accept": str,
        "body": memoryview,
    }


def test_hints_that_cannot_be_evaluated_keep_their_text():
    def decode(body: "str", kind: "somewhere.else_.Only"): ...  # noqa: F821

    assert Handler.from_function(DECODER, decode).hints == {
        "body": str,
        "content_type": "somewhere.else_.Only",
    }


# What Python 3.14 does without it.
LAZILY = "" if sys.version_info >= (3, 14) else "from __future__ import annotations\n"


def test_hints_of_what_is_not_imported_keep_their_text():
    names = {}
    text = f"{LAZILY}def predict(data: list[absent.Type], model: int) -> absent.Type: ..."
    exec(compile(text, "inference.py", "exec", dont_inherit=True), names)  # noqa: S102 - the test's own text
    predict = names["predict"]
    handler = Handler.from_function(PREDICTOR, predict, checks_names=True)
    assert handler.hints == {"data": "list[absent.Type]", "model": int}
    assert signatures.return_hint(predict) is None


def test_a_handler_is_described_by_name_file_and_line():
    def predict(data): ...

    class Model:
        def __call__(self, data): ...

    line = predict.__code__.co_firstlineno
    text = str(Handler.from_function(PREDICTOR, predict))
    assert "predict (" in text
    assert text.endswith(f"test_signatures.py, line {line})")
    assert signatures.describe(functools.partial(predict)) == text
    assert "Model (" in signatures.describe(Model())
    assert signatures.describe(max) == "max"


def test_a_file_below_the_working_directory_is_named_relative_to_it(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = compile("def predict(data): ...", str(tmp_path / "inference.py"), "exec")
    names = {}
    exec(code, names)  # noqa: S102 - the test's own text
    assert signatures.describe(names["predict"]) == "predict (inference.py, line 1)"


@pytest.mark.parametrize(
    ("decorate", "function", "fix"),
    [
        ("predictor", lambda model, data: data, r"\(data, model\)"),
        ("predictor", lambda model: model, r"\(data, model\)"),
        ("warmup", lambda model: model, r"\(model_dir, model\)"),
        ("transformer", lambda body, model: body, r"\(model, body\)"),
    ],
)
def test_parameters_in_the_wrong_order_are_refused(registry, decorate, function, fix):
    with pytest.raises(RegistrationError, match="passed by position.*" + fix):
        getattr(registry, decorate)(function)


def test_other_names_and_keywords_are_free(registry):
    registry.predictor(lambda x, *, model: x)
    registry.decoder("a/b")(lambda stream, content_type: stream)
    registry.on_shutdown(lambda model: None)


@pytest.mark.parametrize("role", ["model_loader", "on_shutdown", "warmup"])
def test_an_async_generator_is_refused(registry, role):
    async def one(data):
        yield data

    with pytest.raises(RegistrationError, match="an async generator"):
        getattr(registry, role)(one)
