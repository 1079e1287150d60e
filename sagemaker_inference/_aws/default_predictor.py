"""The predictor of scripts that define only ``model_fn``.

AWS's containers for scikit-learn, XGBoost and PyTorch each have one, which their examples rely on.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._program import roles
from sagemaker_inference._program.registration import Registration
from sagemaker_inference._program.signatures import Handler

if TYPE_CHECKING:
    from sagemaker_inference._http.context import Context


def registration() -> Registration:
    """The default predictor as a handler."""
    return Registration(Handler.from_function(roles.PREDICTOR, predict))


def with_check(loader: Registration) -> Registration:
    """A script's ``model_fn`` that aborts startup if the default predictor cannot use its model."""
    call = loader.handler.call

    def checked(model: Any) -> Any:
        check(model)
        return model

    def load_with_model_fn(model_dir: str, context: Context) -> Any:
        return checked(call(model_dir, context))

    async def await_model_fn(model_dir: str, context: Context) -> Any:
        return checked(await call(model_dir, context))

    with_model_fn = await_model_fn if loader.handler.is_async else load_with_model_fn
    return replace(loader, handler=replace(loader.handler, call=with_model_fn))


def describe(model: object) -> str:
    """What the default predictor calls, in words: "predict of the model (LinearRegression)"."""
    name = type(model).__name__
    if _is_instance(model, "torch.nn", "Module"):
        return f"the torch module {name}, in eval mode and without gradients"
    if callable(getattr(model, "predict", None)):
        return f"predict of the model ({name})"
    return f"the model ({name})"


def predict(data: Any, model: Any, context: Context | None = None) -> Any:
    """Predict with a torch module, a model with a method ``predict``, or a callable.

    Raises:
        NotImplementedError: the model is none of these.
    """
    if _is_instance(model, "torch.nn", "Module"):
        return _with_torch(data, model, context)
    if _is_instance(model, "xgboost", "Booster") and not _is_instance(data, "xgboost", "DMatrix"):
        # Booster.predict takes DMatrix alone. The columns of a request have no names to compare.
        return model.inplace_predict(data, validate_features=False)
    method = getattr(model, "predict", None)
    if callable(method):
        return method(data)
    if callable(model):
        return model(data)
    raise NotImplementedError(_unusable(model))


def check(model: object) -> None:
    """Reject a model that the default predictor cannot use.

    Raises:
        NotImplementedError: the model has no method ``predict`` and is not callable.
    """
    if not (callable(model) or callable(getattr(model, "predict", None))):
        raise NotImplementedError(_unusable(model))


def _unusable(model: object) -> str:
    return (
        f"nothing predicts: there is no predict_fn, and model_fn returned {type(model).__name__}, "
        "which has no method predict and is not callable. Add to inference.py: "
        "def predict_fn(data, model): ..."
    )


def _with_torch(data: Any, model: Any, context: Context | None) -> Any:
    torch = sys.modules["torch"]
    if model.training:
        model.eval()
    example = next(iter(model.parameters()), None)
    if example is None:
        example = next(iter(model.buffers()), None)
    if not torch.is_tensor(data):
        # Text formats do not tell integers from floats: [[1, 2]] is meant as floats, as in AWS's
        # container. Formats with a dtype keep integers, which embeddings take.
        header = context.content_type if context else ""
        is_text = content_types.parse(header).name in content_types.UTF8_TYPES
        data = torch.as_tensor(data)
        if example is not None and example.is_floating_point():
            if data.is_floating_point() or is_text:
                data = data.to(example.dtype)
        elif is_text:
            data = data.to(torch.get_default_dtype())
    if example is not None:
        data = data.to(example.device)
    with torch.no_grad():
        return model(data)


def _is_instance(value: object, module: str, name: str) -> bool:
    """Whether this is an instance of a class whose library may not be imported."""
    return isinstance(value, getattr(sys.modules.get(module), name, ()))
