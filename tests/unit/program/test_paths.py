import pytest

from sagemaker_inference._program import paths
from sagemaker_inference.errors import RegistrationError


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/embed", "/v1/models/iris:predict", "/a-b._~/C(1)", "/pings"]
)
def test_a_path_is_taken_as_it_is(path):
    assert paths.checked("predictor", path) == path


@pytest.mark.parametrize(
    "path",
    [
        "/ping",
        "/metrics",
        "/execution-parameters",
        "/openapi.json",
        "/v1/models",
        "/invocations-bidirectional-stream",
        "/models",
        "/models/iris/invoke",
        "/predictions/model",
        "/adapters/one",
    ],
)
def test_paths_of_the_platform_are_refused(path):
    with pytest.raises(RegistrationError) as caught:
        paths.checked("predictor", path)
    assert str(caught.value) == (
        f"@predictor got the path {path!r}, which is the platform's. "
        'Write a path such as @predictor("/v1/chat/completions").'
    )


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (7, "which is not a path. Write a path such as @predictor("),
        (b"/v1", "which is not a path."),
        ("", "which is not a path."),
        ("v1/chat", 'which does not begin with "/". Write: @predictor("/v1/chat")'),
        ("/", "which has the segment ''."),
        ("/v1/", "which has the segment ''."),
        ("/v1//chat", "which has the segment ''."),
        ("/v1/../chat", "which has the segment '..'."),
        ("/./chat", "which has the segment '.'."),
        ("/v1/{name}", "whose segment '{name}' has characters other than letters, digits and"),
        ("/v1/*", "whose segment '*' has characters"),
        ("/v1/chat?stream=1", "whose segment 'chat?stream=1' has characters"),
        ("/v1/a%20b", "whose segment 'a%20b' has characters"),
        ("/v1/a b", "whose segment 'a b' has characters"),
        ("/café", "whose segment 'café' has characters"),
        ("/" + "a" * 256, "which has 257 characters, of at most 256."),
    ],
)
def test_a_path_that_no_request_could_reach_is_refused(path, problem):
    with pytest.raises(RegistrationError) as caught:
        paths.checked("predictor", path)
    assert f"@predictor got the path {path!r}, {problem}" in str(caught.value)


@pytest.mark.parametrize(
    ("decorator", "default"),
    [("predictor", paths.INVOCATIONS), ("bidirectional", paths.BIDIRECTIONAL)],
)
def test_the_path_of_a_bare_decorator_is_not_written(decorator, default):
    with pytest.raises(RegistrationError) as caught:
        paths.checked(decorator, default, default)
    assert str(caught.value) == (
        f"@{decorator} got the path {default!r}, which it has without an argument. "
        f"Write: @{decorator}"
    )


def test_openai_has_the_paths_below_v1():
    assert paths.is_openai("/v1/embeddings")
    assert not paths.is_openai("/v10/embeddings")
    assert not paths.is_openai("/invocations")
