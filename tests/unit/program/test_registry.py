import functools
import re
import sys
import types

import pytest
from support.builders import answer, request

from sagemaker_inference._aws.script_functions import SCRIPT_FUNCTIONS, adopt
from sagemaker_inference._program import roles
from sagemaker_inference._program.concurrency import Batching
from sagemaker_inference._program.registry import Registry
from sagemaker_inference.errors import RegistrationError, UnsupportedFormatError

BARE_OR_CALLED = [
    "model_loader",
    "predictor",
    "transformer",
    "before_load",
    "warmup",
    "health_check",
    "on_shutdown",
]


def two(first, second):
    return first, second


def only(registry, role):
    (found,) = registry.find(role)
    return found


def refusal(register, *arguments, **options):
    with pytest.raises(RegistrationError) as caught:
        register(*arguments, **options)
    return str(caught.value)


@pytest.mark.parametrize("name", BARE_OR_CALLED)
def test_a_decorator_gives_the_same_function_back_bare_and_called(registry, name):
    def function(first, second): ...

    if name in ("model_loader", "before_load", "health_check", "on_shutdown"):

        def function(first): ...

    assert getattr(registry, name)(function) is function
    assert getattr(registry, name)()(function) is function


@pytest.mark.parametrize("name", ["decoder", "encoder"])
def test_a_typed_decorator_gives_the_same_function_back(registry, name):
    assert getattr(registry, name)("text/csv")(two) is two


@pytest.mark.parametrize("name", BARE_OR_CALLED)
def test_what_was_registered_is_found_under_its_role(registry, name):
    function = (lambda model, body: None) if name == "transformer" else (lambda one: None)
    getattr(registry, name)(function)
    role = getattr(roles, name.upper())
    assert only(registry, role).handler.function is function
    assert not registry.is_empty


def test_methods_partials_and_callables_can_be_registered(registry):
    class Model:
        def predict(self, data): ...

        def __call__(self, body): ...

    model = Model()
    assert registry.predictor(model.predict) == model.predict
    assert registry.decoder("text/csv")(model) is model
    partial = functools.partial(two, 1)
    assert registry.encoder("text/csv")(partial) is partial


def test_types_are_kept_in_lower_case_without_parameters(registry):
    registry.decoder("Text/CSV; header=present", "image/*")(two)
    assert only(registry, roles.DECODER).content_types == ("text/csv", "image/*")


def test_a_decoder_without_parentheses_is_refused(registry):
    message = refusal(registry.decoder, two)
    assert "@decoder needs content types, got two (" in message
    assert 'Write: @decoder("application/json")' in message


@pytest.mark.parametrize("types", [(), ("json",), ("text/csv", 5)])
def test_types_that_are_none_are_refused(registry, types):
    assert "needs content types" in refusal(registry.encoder, *types)


def test_a_second_predictor_is_refused_and_both_are_named(registry):
    @registry.predictor
    def first(data): ...

    def second(data): ...

    message = refusal(registry.predictor, second)
    assert "@predictor on " in message
    assert "second (" in message
    assert "first (" in message
    assert " conflicts with " in message
    assert "Keep one of the two" in message
    assert only(registry, roles.PREDICTOR).handler.function is first


def test_a_second_decoder_for_the_same_type_is_refused_and_for_another_is_not(registry):
    @registry.decoder("text/csv", "text/tab-separated-values")
    def first(body): ...

    @registry.decoder("application/json")
    def second(body): ...

    def third(body): ...

    assert '@decoder("text/csv") on ' in refusal(registry.decoder("text/csv"), third)
    assert [found.handler.function for found in registry.find(roles.DECODER)] == [
        first,
        second,
    ]


def reloaded():
    def predict(data): ...

    return predict


def test_the_same_function_of_a_module_replaces_itself(registry):
    old, new = reloaded(), reloaded()
    registry.predictor(old)
    registry.predictor(new)
    registry.predictor(new)
    assert only(registry, roles.PREDICTOR).handler.function is new


def test_a_replaced_decoder_does_not_hide_a_clash_with_another(registry):
    old, new = reloaded(), reloaded()
    registry.decoder("text/csv")(old)
    registry.decoder("application/json")(two)
    assert "two (" in refusal(registry.decoder("text/csv", "application/json"), new)
    assert [found.handler.function for found in registry.find(roles.DECODER)] == [old, two]


def test_two_lambdas_are_two_functions(registry):
    registry.predictor(lambda data: 1)
    assert "conflicts with" in refusal(registry.predictor, lambda data: 2)


def test_a_transformer_beside_a_predictor_is_refused_either_way_round():
    def transform(model, body): ...

    def predict(data): ...

    one, other = Registry(), Registry()
    one.predictor(predict)
    message = refusal(one.transformer, transform)
    assert "cannot be combined with the predictor" in message
    assert "keep either the transformer, or" in message
    other.transformer(transform)
    assert "cannot be combined with the transformer" in refusal(other.predictor, predict)
    assert "cannot be combined with the transformer" in refusal(other.decoder("text/csv"), predict)
    other.model_loader(predict)


def test_a_refused_handler_leaves_nothing_behind(registry):
    def predict(data, model, context, four): ...

    refusal(registry.predictor, predict)
    assert registry.is_empty


def test_a_late_decorator_is_refused(registry):
    registry.close("serve(__name__) at inference.py, line 9")

    def predict(data): ...

    message = refusal(registry.predictor, predict)
    assert "@predictor on " in message
    assert "predict (" in message
    assert "was registered after serve(__name__) at inference.py, line 9." in message
    assert "above serve(__name__)" in message


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"max_batch_size": 0}, "max_batch_size must be an integer from 1 to 10000, got 0"),
        ({"max_batch_size": True}, "max_batch_size must be an integer from 1 to 10000, got True"),
        ({"max_batch_size": 2.0}, "max_batch_size must be an integer from 1 to 10000, got 2.0"),
        ({"threads": 0}, "threads must be an integer from 1 to 10000, got 0"),
        ({"max_batch_size": 10001}, "max_batch_size must be an integer from 1 to 10000, got 10001"),
        ({"max_batch_delay": 1e300}, "seconds from 0 to 1000000, got 1e+300"),
        (
            {"max_batch_delay": -1},
            "max_batch_delay must be a number of seconds from 0 to 1000000, got -1",
        ),
        ({"max_batch_delay": "1"}, "seconds from 0 to 1000000, got '1'"),
        ({"max_batch_delay": float("nan")}, "seconds from 0 to 1000000, got nan"),
        ({"max_batch_delay": float("inf")}, "seconds from 0 to 1000000, got inf"),
        ({"collate": "stack"}, "collate must be 'list' or 'concatenate', got 'stack'"),
        ({"threads": 2, "max_batch_size": 2}, "cannot be combined"),
        ({"max_concurrency": 0}, "max_concurrency must be an integer from 1 to 10000, got 0"),
    ],
)
def test_options_of_a_predictor_that_make_no_sense_are_refused(registry, options, problem):
    message = refusal(registry.predictor, **options)
    assert message.startswith("@predictor: ")
    assert problem in message


def test_options_of_a_predictor_are_kept(registry):
    registry.predictor(max_batch_size=8, max_batch_delay=0.5, collate="concatenate")(two)
    assert only(registry, roles.PREDICTOR).batching == Batching(8, 0.5, "concatenate")


@pytest.mark.parametrize("options", [{"threads": 2}, {"max_batch_size": 2}])
def test_an_async_predictor_with_threads_or_batches_is_refused(registry, options):
    async def predict(data): ...

    assert "which is async" in refusal(registry.predictor(**options), predict)


def test_a_blocking_predictor_with_max_concurrency_is_refused(registry):
    message = refusal(registry.predictor(max_concurrency=4), two)
    assert "which is not async. Write async def, or threads=N" in message


def script(**functions):
    module = types.ModuleType("inference")
    vars(module).update(functions)
    return module


def test_script_functions_are_registered_under_their_roles(registry):
    module = script(
        model_fn=lambda model_dir: None,
        input_fn=two,
        predict_fn=lambda data, model: None,
        output_fn=lambda prediction, accept: None,
        pre_model_fn=lambda model_dir: None,
        model_warmup_fn=lambda model_dir, model: None,
        other_fn=two,
    )
    adopt(registry, module)
    for name, role in SCRIPT_FUNCTIONS.items():
        if name != "transform_fn":
            assert only(registry, role).handler.function is getattr(module, name)
            assert only(registry, role).is_script
    assert only(registry, roles.DECODER).content_types == ("*/*",)
    assert only(registry, roles.PREDICTOR).content_types == ()


def test_a_decorated_script_function_is_registered_once(registry):
    module = script(predict_fn=two)
    registry.predictor(two)
    adopt(registry, module)
    assert not only(registry, roles.PREDICTOR).is_script


def test_a_script_function_beside_a_decorated_one_is_refused(registry):
    @registry.predictor
    def predict(data): ...

    message = refusal(lambda owner: adopt(registry, owner), script(predict_fn=two))
    assert re.match(
        r"@predictor on .*predict \(.* conflicts with the script function two \(", message
    )


def test_an_isolated_registry_starts_empty_and_open_and_comes_back(registry):
    registry.predictor(two)
    registry.close("serving began")
    with registry.isolated() as isolated:
        assert isolated is registry
        assert registry.find(roles.PREDICTOR) == []
        registry.predictor(lambda data: None)
    assert only(registry, roles.PREDICTOR).handler.function is two
    assert "serving began" in refusal(registry.model_loader, lambda: None)


def test_an_isolated_registry_comes_back_after_an_error(registry):
    registry.predictor(two)
    with pytest.raises(ZeroDivisionError), registry.isolated():
        raise ZeroDivisionError
    assert only(registry, roles.PREDICTOR).handler.function is two


def test_a_refused_registration_leaves_the_interpreters_hooks_alone(registry):
    before = sys.excepthook
    with pytest.raises(RegistrationError):
        registry.predictor(5)
    assert sys.excepthook is before


def test_a_health_check_has_an_interval(registry):
    @registry.health_check(interval=2)
    def check(model): ...

    assert only(registry, roles.HEALTH_CHECK).interval == 2.0


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf"), "10", True, None])
def test_an_interval_is_a_number_of_seconds_above_0(registry, interval):
    message = refusal(registry.health_check, interval=interval)
    assert f"interval must be a number of seconds > 0, got {interval!r}" in message


def test_a_health_check_cannot_be_async(registry):
    async def check(model): ...

    assert "which is async" in refusal(registry.health_check, check)


def test_async_script_functions_are_awaited(registry):
    async def output_fn(prediction, accept):
        return f"{prediction} as {accept}"

    async def predict_fn(data, model):
        return data

    adopt(
        registry,
        script(model_fn=lambda model_dir: None, predict_fn=predict_fn, output_fn=output_fn),
    )
    response = answer(registry, request(b"5", accept="a/b"))
    assert (response.body, response.content_type) == (b"5 as a/b", "a/b")


@pytest.mark.parametrize(("refused", "status"), [("a/b", 406), ("application/json", 415)])
def test_an_async_transform_fn_refuses_formats_as_a_plain_one(registry, refused, status):
    async def transform_fn(model, data, content_type, accept):
        raise UnsupportedFormatError(refused)

    adopt(registry, script(model_fn=lambda model_dir: None, transform_fn=transform_fn))
    assert answer(registry, request(b"5", accept="a/b")).status == status


def of_path(registry, role, path):
    return [found.handler.function for found in registry.find(role) if found.path == path]


def test_a_predictor_of_a_path_stands_beside_the_one_of_invocations(registry):
    def predict(data): ...

    def chat(data): ...

    registry.predictor(predict)
    assert registry.predictor("/v1/chat/completions", threads=2)(chat) is chat
    assert of_path(registry, roles.PREDICTOR, "/invocations") == [predict]
    assert of_path(registry, roles.PREDICTOR, "/v1/chat/completions") == [chat]
    assert [found.batching.threads for found in registry.find(roles.PREDICTOR)] == [1, 2]


def test_one_function_may_answer_several_paths(registry):
    def predict(data): ...

    for path in ("/v1/completions", "/v1/chat/completions"):
        registry.predictor(path)(predict)
    registry.predictor(predict)
    assert len(registry.find(roles.PREDICTOR)) == 3


def test_two_handlers_of_one_path_are_refused(registry):
    def predict(data): ...

    def other(data): ...

    def transform(model, body): ...

    registry.predictor("/embed")(predict)
    message = refusal(registry.predictor("/embed"), other)
    assert message.startswith('@predictor("/embed") on ')
    assert "conflicts with" in message
    message = refusal(registry.transformer("/embed"), transform)
    assert "cannot be combined with the predictor" in message
    registry.transformer("/other")(transform)
    assert "with the transformer" in refusal(registry.predictor("/other"), predict)


def test_a_path_is_checked_where_it_is_written(registry):
    assert "'/ping', which is the platform's." in refusal(registry.predictor, "/ping")
    assert "which is not a path" in refusal(registry.transformer, b"/embed")
    assert "which is not callable" in refusal(registry.warmup, "/embed")


def test_a_transformer_of_a_path_leaves_decoders_to_predictors(registry):
    def transform(model, body): ...

    def predict(data): ...

    registry.transformer("/embed")(transform)
    registry.decoder("text/csv")(predict)
    registry.predictor(predict)
    registry.encoder("text/csv")(predict)
    other = Registry()
    other.predictor("/embed")(predict)
    other.transformer(transform)
    other.decoder("text/csv")(predict)
