"""AWS's spelling of a request's path: a `Transformer` for a handler service on MMS.

The path itself is `pipeline.Pipeline`; here stand the names that AWS's containers override, read
and set. The package's front door imports this module, since ``@transformer`` has its name; so what
serving takes is imported when something is served.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sagemaker_inference._inference.assembly import InferenceHandler
    from sagemaker_inference._inference.inference_handler import Pipeline
    from sagemaker_inference._program.registry import Registration
    from sagemaker_inference._program.signatures import Handler

# One for all: subclasses skip __init__, and a process seldom loads two models at the same time.
_LOADING: Final = threading.RLock()


class Transformer:
    """Loads the program that SAGEMAKER_PROGRAM names, and answers MMS's requests with it.

    Subclasses may override ``_default_transform_fn``, and read and set ``_model``, ``_input_fn``,
    ``_predict_fn``, ``_output_fn`` and ``_transform_fn``: whatever stands there answers.

    Args:
        default_inference_handler: what stands in for whatever the program leaves out; an object
            with functions such as `DefaultInferenceHandler` has.
    """

    # Subclasses that copy AWS's __init__ do not call this one.
    _default_inference_handler: Any = None
    _initialized: bool = False
    _environment: Any = None
    _model: Any = None
    _context: Any = None
    _model_dir: str = ""
    _pre_model_fn: Callable[..., Any] | None = None
    _model_warmup_fn: Callable[..., Any] | None = None
    _model_fn: Callable[..., Any] | None = None
    _transform_fn: Callable[..., Any] | None = None
    _input_fn: Callable[..., Any] | None = None
    _predict_fn: Callable[..., Any] | None = None
    _output_fn: Callable[..., Any] | None = None
    _assembled: InferenceHandler | None = None
    # The functions that were found, and the pipeline that was made of those that stand there now.
    _found: tuple[Any, ...] = ()
    _made_of: tuple[Any, ...] = ()
    _pipeline: Pipeline | None = None

    def __init__(self, default_inference_handler: Any = None) -> None:
        from sagemaker_inference.default_inference_handler import DefaultInferenceHandler

        self._default_inference_handler = default_inference_handler or DefaultInferenceHandler()

    def validate_and_initialize(
        self, model_dir: str = environment.model_dir, context: Any = None
    ) -> None:
        """Import the program and load its model, once; after a failure it is tried again.

        Args:
            model_dir: where the model is; the program is in its folder ``code``.
            context: MMS's context; its ``system_properties["gpu_id"]`` counts.

        Raises:
            StartError: the program cannot be imported or is incomplete.
        """
        with _LOADING:
            if self._initialized:
                return
            self._context, self._model_dir = context, model_dir
            self._environment = environment.Environment()
            if self._assembled is None:
                self._validate_user_module_and_set_functions()
            pipeline = self._current()
            pipeline.load()
            self._model = pipeline.model
            self._initialized = True

    def transform(self, data: Sequence[Any], context: Any) -> list[Any]:
        """Answer a batch of MMS's: one body per request; status and headers go into ``context``."""
        from sagemaker_inference._aws import mms_objects

        requests = mms_objects.read_requests(data, context)
        try:
            model_dir = context.system_properties.get("model_dir")
            self.validate_and_initialize(model_dir=model_dir, context=context)
        except Exception as error:  # noqa: BLE001 - MMS would end the batch without a word
            return mms_objects.answer_failed_load(requests, context, error)
        pipeline = self._current()
        pipeline.model = self._model
        return mms_objects.write_responses(_run(pipeline, requests), context)

    @staticmethod
    def handle_error(context: Any, inference_exception: Any, trace: str) -> list[Any]:
        """Answer with an error's status and message; the traceback goes to the log only.

        Args:
            context: MMS's context of the batch.
            inference_exception: a `BaseInferenceToolkitError`.
            trace: the traceback as text.
        """
        from sagemaker_inference._aws import mms_objects

        return mms_objects.answer_error(context, inference_exception, trace)

    def _validate_user_module_and_set_functions(self) -> None:
        """Find the program and what stands in for whatever it leaves out.

        Raises:
            StartError: the program cannot be imported or is incomplete.
        """
        from sagemaker_inference import default_inference_handler
        from sagemaker_inference._errors import StartError
        from sagemaker_inference._inference import assembly, program
        from sagemaker_inference._log import get_logger
        from sagemaker_inference._program.registry import Registry

        model_dir = self._model_dir or environment.model_dir
        code_dir = f"{model_dir}/code"
        if code_dir not in sys.path:
            sys.path.insert(0, code_dir)
        fallback = default_inference_handler.fallback(self._default_inference_handler)
        found = program.search(model_dir)
        if found is not None:
            handler = program.assembled(found, fallback)
        elif fallback.is_empty:
            raise StartError(program.not_found(model_dir))
        else:
            label = type(self._default_inference_handler).__name__
            if program.is_named():
                get_logger().warning("%s %s serves alone.", program.not_found(model_dir), label)
            handler = assembly.assemble(Registry(), label, fallback)
        self._assembled = handler
        self._pre_model_fn = _function(handler.before_load)
        self._model_fn = handler.model_loader.function
        self._model_warmup_fn = _function(handler.warmup)
        whole = handler.transformer
        self._transform_fn = whole.handler.function if whole else self._default_transform_fn
        self._input_fn = _only(handler.decoders or handler.fallback_decoders) or handler.input_fn
        self._predict_fn = _function(handler.predictor)
        self._output_fn = _only(handler.encoders or handler.fallback_encoders) or handler.output_fn
        self._found = self._functions()

    def _default_transform_fn(
        self, model: Any, input_data: Any, content_type: str, accept: str, context: Any = None
    ) -> Any:
        """Decode, predict and encode with the functions that stand here now."""
        from sagemaker_inference._program import signatures

        data = _call(signatures.DECODER, self._input_fn, input_data, content_type, context)
        prediction = _call(signatures.PREDICTOR, self._predict_fn, data, model, context)
        return _call(signatures.ENCODER, self._output_fn, prediction, accept, context)

    def _functions(self) -> tuple[Any, ...]:
        return (
            self._pre_model_fn,
            self._model_fn,
            self._model_warmup_fn,
            self._transform_fn,
            self._input_fn,
            self._predict_fn,
            self._output_fn,
        )

    def _current(self) -> Pipeline:
        """The pipeline of the functions that stand here now.

        Where nobody has touched them, it is the program's own, with all it can do; else the whole
        path is ``_transform_fn``.
        """
        from sagemaker_inference._inference import assembly
        from sagemaker_inference._inference.inference_handler import Pipeline

        functions = self._functions()
        if self._pipeline is None or any(
            now is not then for now, then in zip(functions, self._made_of, strict=True)
        ):
            handler = self._assembled
            transform = getattr(self._transform_fn, "__func__", None)
            untouched = functions == self._found and handler is not None
            if handler is None or not (
                untouched
                and (handler.transformer or transform is Transformer._default_transform_fn)
            ):
                pre_model, load, warm_up, transform = functions[:4]
                default = getattr(self._environment, "default_accept", None)
                handler = assembly.of_functions(
                    load, transform or self._default_transform_fn, pre_model, warm_up, default
                )
            gpu_id = None
            if self._context is not None:
                gpu_id = self._context.system_properties.get("gpu_id")
            self._pipeline = Pipeline(handler, self._model_dir, gpu_id)
            self._made_of = functions
        return self._pipeline


def _function(handler: Handler | None) -> Callable[..., Any] | None:
    return handler.function if handler else None


def _only(registrations: Sequence[Registration]) -> Callable[..., Any] | None:
    """The function that alone does this for all types: a script's, or a framework's.

    As it was written: AWS's MXNet container looks at its parameters.
    """
    if len(registrations) != 1 or not registrations[0].is_script:
        return None
    return registrations[0].handler.function


def _call(role: Any, function: Any, *offers: Any) -> Any:
    from sagemaker_inference._program.signatures import Handler

    return Handler.of(role, function).call(*offers)


def _run(pipeline: Pipeline, requests: Sequence[Any]) -> list[Any]:
    from sagemaker_inference._inference.service import run

    if pipeline.plan.is_async:
        import asyncio

        return asyncio.run(pipeline.answer(requests))
    return run(pipeline.answer(requests))
