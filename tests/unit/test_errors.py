import copy
import inspect
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from sagemaker_inference import errors
from sagemaker_inference.codecs import json

REQUEST_FAILURES = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, errors.InferenceError) and found is not errors.UnsupportedFormatError
]


def test_authors_mistakes_and_requests_failures_never_meet():
    for mistake in (errors.RegistrationError, errors.StartError):
        assert not issubclass(mistake, errors.BaseInferenceToolkitError)
    assert issubclass(errors.RegistrationError, TypeError)


@pytest.mark.parametrize("kind", REQUEST_FAILURES)
def test_a_request_failure_has_its_class_status_and_the_given_message(kind):
    error = kind("send less")
    assert error.status_code == kind.status
    assert 400 <= error.status_code <= 599
    assert str(error) == error.message == "send less"
    assert error.phrase is None


def test_no_two_request_failures_share_a_code():
    codes = [kind.code for kind in REQUEST_FAILURES]
    assert len(set(codes)) == len(codes)


def test_a_raised_code_goes_before_the_class_code():
    assert errors.BadRequestError("no", code="no_petals").code == "no_petals"
    assert errors.BadRequestError("no").code == "bad_request"


def test_the_base_error_carries_what_it_is_given():
    error = errors.BaseInferenceToolkitError(418, "no coffee here", "I'm a teapot")
    assert (error.status_code, error.message, error.phrase) == (
        418,
        "no coffee here",
        "I'm a teapot",
    )


def test_a_subclass_may_skip_super_init():
    class Custom(errors.BaseInferenceToolkitError):
        def __init__(self):
            self.status_code = 429

    error = Custom()
    assert (error.status_code, error.message, error.phrase) == (429, "", None)


@pytest.mark.parametrize(
    ("arguments", "message", "phrase"),
    [
        ((418,), "Invalid Request", "Invalid Request"),
        ((418, "tea"), "tea", "tea"),
        ((418, "tea", "Teapot"), "tea", "Teapot"),
    ],
)
def test_a_generic_error_fills_what_is_left_out(arguments, message, phrase):
    error = errors.GenericInferenceToolkitError(*arguments)
    assert (error.status_code, error.message, error.phrase) == (418, message, phrase)
    assert error.args == (418, message, phrase)


def test_an_unsupported_format_begins_with_the_words_that_containers_look_for():
    error = errors.UnsupportedFormatError("image/gif")
    assert str(error).startswith("Content type image/gif is not supported by this framework")
    assert error.status_code == 415


def test_every_error_is_exported():
    defined = {name for name, _ in inspect.getmembers(errors, inspect.isclass)} - {
        "HTTPStatus",
        "ClassVar",
    }
    assert set(errors.__all__) == defined


def test_one_failure_has_one_code():
    codes = {kind.code for kind in vars(errors).values() if hasattr(kind, "code")}
    assert codes <= {code.value for code in errors.ErrorCode}
    for kind in vars(errors).values():
        if hasattr(kind, "code") and kind is not errors.InferenceError:
            assert errors.ErrorCode(kind.code).status == kind.status


@pytest.mark.parametrize(
    ("status", "code"),
    [(507, "out_of_memory"), (404, "not_found"), (402, "payment_required"), (599, "error")],
)
def test_a_status_alone_has_the_code_of_the_failure_that_it_stands_for(status, code):
    assert errors.ErrorCode.for_status(status) == code


class QuotaError(errors.InferenceError):
    """One with a signature of its own."""

    status = errors.ErrorCode.TOO_MANY_REQUESTS.status
    code = "quota"

    def __init__(self, user, *, left):
        super().__init__(f"{user} has {left} left.")
        self.left = left


class SilentError(errors.BaseInferenceToolkitError):
    """One that skips the base class."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.status_code = 429


class LostError(errors.InferenceError, OSError):
    """One of another family, too."""

    def __init__(self, host, port):
        super().__init__(f"{host}:{port} is gone")
        self.host = host


class LoadError(errors.StartError):
    """A mistake with a signature of its own."""

    def __init__(self, *, file):
        super().__init__(f"{file} is not a model")
        self.file = file


EXAMPLES = [
    *(kind("send less") for kind in REQUEST_FAILURES),
    errors.BadRequestError("no", code="no_petals"),
    errors.UnsupportedFormatError("application/pdf"),
    errors.GenericInferenceToolkitError(418, "no coffee here"),
    errors.BaseInferenceToolkitError(418, "no coffee here", "I'm a teapot"),
    errors.RegistrationError("@predictor is wrong"),
    errors.StartError("there is no model"),
    json.JsonDecodeError("not JSON", "[\n[", 2),
    QuotaError("Ann", left=3),
    SilentError(5),
    LostError("db", 5432),
    LoadError(file="model.bin"),
]


def facts(error):
    names = ("status_code", "message", "phrase", "code")
    known = [getattr(error, name, None) for name in names]
    return [type(error), str(error), error.args, vars(error), *known]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "carried",
    [
        copy.copy,
        copy.deepcopy,
        *(
            lambda error, protocol=protocol: pickle.loads(  # noqa: S301 - its own
                pickle.dumps(error, protocol)
            )
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ),
    ],
)
def test_an_error_is_the_same_where_it_is_carried_to(error, carried):
    assert facts(carried(error)) == facts(error)


def fail():
    raise QuotaError("Ann", left=3)


def test_another_process_raises_what_it_has_raised(monkeypatch):
    # It imports this file by its name.
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    with ProcessPoolExecutor(1, get_context("spawn")) as pool, pytest.raises(QuotaError) as caught:
        pool.submit(fail).result(60)
    assert caught.value.left == 3
    assert caught.value.status_code == 429
