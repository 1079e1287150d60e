"""Scripts that define only model_fn: AWS's containers predict by themselves."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from sagemaker_inference._aws import default_predictor
from sagemaker_inference._aws.script_functions import adopt
from sagemaker_inference._http.context import Context
from sagemaker_inference._http.messages import Request
from sagemaker_inference._inference.assembly import assemble
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference.errors import StartError


class Model:
    def predict(self, rows):
        return np.asarray(rows).sum(axis=1)


def answer(handler, body, content_type):
    request = Request.from_body(body, content_type)
    return run_without_loop(handler.answer([request]))[0]


@pytest.fixture
def served(registry):
    def make(model, **functions):
        adopt(registry, SimpleNamespace(model_fn=lambda model_dir: model, **functions))
        handler = assemble(registry, "inference.py")
        handler.load("/m")
        return handler

    return make


def test_a_model_with_predict_gets_rows_of_every_format(served):
    handler = served(Model())
    assert handler.default_predictor == "predict of the model (Model)"
    for body, content_type in ((b"1,2", "text/csv"), (b"[[1, 2]]", "application/json")):
        assert bytes(answer(handler, body, content_type).body) == b"[3]"


def test_a_program_with_a_predictor_needs_no_default(served):
    assert served(Model(), predict_fn=lambda data, model: data).default_predictor == ""


def test_an_async_model_fn_is_awaited_and_checked(registry):
    async def model_fn(model_dir):
        return Model() if model_dir == "/m" else None

    adopt(registry, SimpleNamespace(model_fn=model_fn))
    handler = assemble(registry, "inference.py")
    handler.load("/m")
    assert handler.default_predictor == "predict of the model (Model)"
    assert bytes(answer(handler, b"1,2", "text/csv").body) == b"[3]"
    with pytest.raises(NotImplementedError, match="model_fn returned NoneType"):
        handler.load("/n")
    handler.close()


def test_a_callable_is_called(served):
    assert bytes(answer(served(len), b"[[1, 2]]", "application/json").body) == b"1"


def test_the_functions_of_the_script_stay_in_use(served):
    handler = served(
        Model(),
        input_fn=lambda body, content_type: [[len(body), 1]],
        output_fn=lambda prediction, accept: f"{prediction}",
    )
    assert bytes(answer(handler, b"abc", "text/plain").body) == b"[4]"


def test_a_model_that_cannot_predict_aborts_startup(served):
    with pytest.raises(NotImplementedError, match="model_fn returned dict, which has no method"):
        served({})


def test_a_decorated_program_is_told_to_add_a_predictor(registry):
    registry.model_loader(Model)
    with pytest.raises(StartError, match="registers no predictor"):
        assemble(registry)


@pytest.mark.parametrize("name", ["input_fn", "predict_fn", "output_fn", "transform_fn"])
def test_a_script_without_model_fn_is_told_to_add_it(registry, name):
    adopt(registry, SimpleNamespace(**{name: lambda *arguments: arguments}))
    with pytest.raises(StartError, match=r"^inference\.py has no model_fn") as raised:
        assemble(registry, "inference.py")
    assert "@" not in str(raised.value)
    assert "serve(__name__)" not in str(raised.value)


def test_an_xgboost_booster_takes_arrays(monkeypatch):
    module = ModuleType("xgboost")

    class DMatrix: ...

    class Booster:
        def inplace_predict(self, data, validate_features):
            return "in place", data, validate_features

        def predict(self, data):
            return "predicted", data

    module.Booster, module.DMatrix = Booster, DMatrix
    monkeypatch.setitem(sys.modules, "xgboost", module)
    assert default_predictor.predict([1], Booster()) == ("in place", [1], False)
    matrix = DMatrix()
    assert default_predictor.predict(matrix, Booster()) == ("predicted", matrix)


class Tensor:
    """What the default predictor does with a tensor of torch."""

    def __init__(self, dtype, device="cpu"):
        self.dtype, self.device = dtype, device

    def is_floating_point(self):
        return self.dtype.startswith("float")

    def to(self, target):
        is_device = target in ("cpu", "cuda")
        return Tensor(self.dtype, target) if is_device else Tensor(target, self.device)


class Module:
    def __init__(self, parameters=(), buffers=()):
        self.training, self.evals = True, 0
        self.parameters, self.buffers = lambda: iter(parameters), lambda: iter(buffers)

    def eval(self):
        self.training, self.evals = False, self.evals + 1

    def __call__(self, data):
        return self.training, sys.modules["torch"].gradient, data.dtype, data.device


@pytest.fixture
def torch(monkeypatch):
    torch, nn = ModuleType("torch"), ModuleType("torch.nn")
    nn.Module = Module
    torch.gradient = True

    class no_grad:  # noqa: N801 - torch's name
        def __enter__(self):
            torch.gradient = False

        def __exit__(self, *_error):
            torch.gradient = True

    torch.no_grad = no_grad
    torch.is_tensor = lambda value: isinstance(value, Tensor)
    torch.as_tensor = lambda array: Tensor(str(array.dtype))
    torch.get_default_dtype = lambda: "float32"
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch.nn", nn)


FLOATS, INTEGERS = np.ones(1), np.ones(1, np.int64)
JSON, NPY = "application/json", "application/x-npy"


@pytest.mark.parametrize(
    ("data", "content_type", "model", "dtype", "device"),
    [
        (FLOATS, JSON, Module([Tensor("float16", "cuda")]), "float16", "cuda"),
        (INTEGERS, JSON, Module([Tensor("float16")]), "float16", "cpu"),
        (INTEGERS, NPY, Module([Tensor("float16", "cuda")]), "int64", "cuda"),
        (FLOATS, NPY, Module([Tensor("float32")]), "float32", "cpu"),
        (FLOATS, NPY, Module([], [Tensor("int8", "cuda")]), "float64", "cuda"),
        (INTEGERS, JSON, Module(), "float32", "cpu"),
        (INTEGERS, NPY, Module(), "int64", "cpu"),
        (Tensor("int8"), JSON, Module([Tensor("float32", "cuda")]), "int8", "cuda"),
    ],
)
def test_a_torch_module_predicts_in_eval_mode_on_its_device(
    torch, data, content_type, model, dtype, device
):
    context = Context(request=Request.from_body(b"", content_type))
    for _ in range(2):
        assert default_predictor.predict(data, model, context) == (False, False, dtype, device)
    assert model.evals == 1
    assert default_predictor.describe(model).startswith("the torch module Module, in eval mode")


def test_without_a_context_a_torch_module_predicts_as_for_a_format_with_dtypes(torch):
    assert default_predictor.predict(INTEGERS, Module())[2] == "int64"


def test_what_is_called_is_described():
    assert default_predictor.describe(len) == "the model (builtin_function_or_method)"
