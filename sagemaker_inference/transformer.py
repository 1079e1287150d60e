"""AWS's ``Transformer``: a program behind a handler service of Multi Model Server (MMS).

`InferenceHandler` answers the requests; this class has the names that AWS's containers override,
read and set. ``import sagemaker_inference`` imports this module, since ``@transformer`` has its
name, so modules that only serving needs are imported later.

>>> from sagemaker_inference import default_registry, transformer
>>> with default_registry.isolated():
...     @transformer
...     def transform(model, body: str):
...         return body.upper(), "text/plain"
>>> transform(None, "cat")
('CAT', 'text/plain')
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sagemaker_inference._http.context import Context
    from sagemaker_inference._inference.inference_handler import InferenceHandler
    from sagemaker_inference._program.signatures import Handler

# One lock for all instances: subclasses skip __init__, and a process seldom loads two models at
# the same time.
_LOADING: Final = threading.RLock()


class Transformer:
    """Loads the program that SAGEMAKER_PROGRAM names, and answers MMS's requests with it.

    Subclasses may override ``_default_transform_fn``, and read and set ``_model``, ``_input_fn``,
    ``_predict_fn``, ``_output_fn`` and ``_transform_fn``; each request uses their current values.

    >>> class Scaled(Transformer):
    ...     def _default_transform_fn(self, model, input_data, content_type, accept, context=None):
    ...         data = self._input_fn(input_data, content_type)
    ...         return self._output_fn(self._predict_fn(data / 255, model), accept)

    Args:
        default_inference_handler: an object with the functions of `DefaultInferenceHandler`, used
            for those that the program does not define.
    """

    # Subclasses that copy AWS's __init__ do not call this one.
    _default_inference_handler: Any = None
    _initialized: bool = False
    _environment: Any = None
    _model: Any = None
    _context: Any = None
    _load_context: Context | None = None
    _model_dir: str = ""
    _pre_model_fn: Callable[..., Any] | None = None
    _model_warmup_fn: Callable[..., Any] | None = None
    _model_fn: Callable[..., Any] | None = None
    _transform_fn: Callable[..., Any] | None = None
    _input_fn: Callable[..., Any] | None = None
    _predict_fn: Callable[..., Any] | None = None
    _output_fn: Callable[..., Any] | None = None
    _assembled: InferenceHandler | None = None
    # The functions of the program, those that are currently set, and the handler made from these.
    _program_functions: tuple[Any, ...] = ()
    _current_functions: tuple[Any, ...] = ()
    _inference_handler: InferenceHandler | None = None

    def __init__(self, default_inference_handler: Any = None) -> None:
        from sagemaker_inference.default_inference_handler import DefaultInferenceHandler

        self._default_inference_handler = default_inference_handler or DefaultInferenceHandler()

    def validate_and_initialize(
        self, model_dir: str = environment.model_dir, context: Any = None
    ) -> None:
        """Import the program and load its model, once; after a failure, the next call retries.

        Args:
            model_dir: the folder of the model; the program is in its folder ``code``.
            context: MMS's context, whose ``system_properties["gpu_id"]`` is the GPU; what handlers
                ask their own context for and it lacks, they get from this one.

        Raises:
            StartError: the program cannot be imported, or there is none.
            NotImplementedError: nothing loads the model.
        """
        from sagemaker_inference._http.context import Context

        with _LOADING:
            if self._initialized:
                return
            self._context, self._model_dir = context, model_dir
            self._environment = environment.Environment()
            if self._assembled is None:
                self._validate_user_module_and_set_functions()
            handler = self._current()
            self._load_context = Context(model_dir, handler.gpu_id).within(context)
            handler.load(model_dir, handler.gpu_id, context=self._load_context)
            self._model = handler.model
            self._initialized = True

    def transform(self, data: Sequence[Any], context: Any) -> list[Any]:
        """Answer a batch: one body per request; ``context`` gets the statuses and headers."""
        from sagemaker_inference._aws import mms_objects

        requests = mms_objects.read_requests(data, context)
        try:
            model_dir = context.system_properties.get("model_dir")
            self.validate_and_initialize(model_dir=model_dir, context=context)
        except Exception as error:  # noqa: BLE001 - MMS would drop the batch without a reason
            return mms_objects.answer_failed_load(requests, context, error)
        handler = self._current()
        handler.model = self._model
        return mms_objects.write_responses(_run(handler, requests), context)

    @staticmethod
    def handle_error(context: Any, inference_exception: Any, trace: str) -> list[Any]:
        """Answer with the status and message of an error; its traceback is only logged.

        Args:
            context: MMS's context of the batch.
            inference_exception: a `BaseInferenceToolkitError`, or a status.
            trace: the traceback as text; with a status, the message for the client.
        """
        from sagemaker_inference._aws import mms_objects

        return mms_objects.answer_error(context, inference_exception, trace)

    def _validate_user_module_and_set_functions(self) -> None:
        """Find the program, and default functions for those that it does not define.

        A function that is missing is an error where it is called.

        Raises:
            StartError: the program cannot be imported.
        """
        from sagemaker_inference._aws import fallback as aws_fallback
        from sagemaker_inference._errors import StartError
        from sagemaker_inference._inference import program
        from sagemaker_inference._inference.assembly import assemble
        from sagemaker_inference._log import get_logger
        from sagemaker_inference._program import location
        from sagemaker_inference._program.registry import Registry
        from sagemaker_inference.default_inference_handler import DefaultInferenceHandler

        model_dir = self._model_dir or environment.model_dir
        code_dir = f"{model_dir}/code"
        if code_dir not in sys.path:
            sys.path.insert(0, code_dir)
        default = self._default_inference_handler
        users_program = location.search(model_dir)
        load = getattr(default, "default_model_fn", DefaultInferenceHandler().default_model_fn)

        def fallback(users: Registry) -> Registry:
            registry = aws_fallback.registry_of(default, DefaultInferenceHandler, users)
            return aws_fallback.complete(registry, users, load)

        if users_program is not None:
            handler = program.assembled(users_program, fallback)
        else:
            message, label = location.not_found_message(model_dir), type(default).__name__
            if not aws_fallback.functions_of(default, DefaultInferenceHandler):

                def load(model_dir: str) -> Any:  # noqa: ARG001
                    raise StartError(message)

            elif location.is_named():
                get_logger().warning("%s Serving %s alone.", message, label)
            handler = assemble(Registry(), label, fallback(Registry()))
        self._assembled = handler
        self._pre_model_fn = _function(handler.before_load)
        self._model_fn = handler.model_loader.function
        self._model_warmup_fn = _function(handler.warmup)
        self._transform_fn = _function(handler.transformer) or self._default_transform_fn
        self._input_fn = _input_fn(handler, default)
        self._predict_fn = _function(handler.predictor)
        self._output_fn = _output_fn(handler, default)
        self._program_functions = self._functions()

    def _default_transform_fn(
        self, model: Any, input_data: Any, content_type: str, accept: str, context: Any = None
    ) -> Any:
        """Decode, predict and encode with the functions that are currently set."""
        from sagemaker_inference._program import roles

        data = _call(roles.DECODER, self._input_fn, input_data, content_type, context)
        prediction = _call(roles.PREDICTOR, self._predict_fn, data, model, context)
        return _call(roles.ENCODER, self._output_fn, prediction, accept, context)

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

    def _current(self) -> InferenceHandler:
        """The handler for the functions that are currently set.

        If they are unchanged, it is that of the program, with batches and negotiation; otherwise
        it calls ``_transform_fn``.
        """
        from sagemaker_inference._http.context import Context

        functions = self._functions()
        is_same = len(functions) == len(self._current_functions) and all(
            now is then for now, then in zip(functions, self._current_functions, strict=True)
        )
        if self._inference_handler is None or not is_same:
            handler = self._program_handler(functions) or self._transform_fn_handler()
            handler.model_dir = self._model_dir
            properties = getattr(self._context, "system_properties", None)
            if isinstance(properties, Mapping):
                handler.gpu_id = properties.get("gpu_id")
            handler.load_context = self._load_context or Context(self._model_dir, handler.gpu_id)
            self._inference_handler, self._current_functions = handler, functions
        return self._inference_handler

    def _program_handler(self, functions: tuple[Any, ...]) -> InferenceHandler | None:
        """The handler of the program; None if a function was replaced."""
        handler = self._assembled
        transform = getattr(self._transform_fn, "__func__", None)
        is_default = transform is Transformer._default_transform_fn
        if handler is None or functions != self._program_functions:
            return None
        return handler if handler.transformer or is_default else None

    def _transform_fn_handler(self) -> InferenceHandler:
        """A handler that calls the current ``_transform_fn`` from body to body."""
        from types import SimpleNamespace

        from sagemaker_inference._aws import script_functions
        from sagemaker_inference._inference.assembly import assemble
        from sagemaker_inference._program.registry import Registry

        default = getattr(self._environment, "default_accept", None)
        functions = SimpleNamespace(
            pre_model_fn=self._pre_model_fn,
            model_fn=self._model_fn or _no_model,
            model_warmup_fn=self._model_warmup_fn,
            transform_fn=self._transform_fn or self._default_transform_fn,
        )
        registry = Registry()
        script_functions.adopt(registry, functions, default_accept=default)
        return assemble(registry, type(self).__name__, default_accept=default)


def _no_model() -> None:
    """The model loader of a transformer whose subclass sets ``_model`` itself."""


def _function(handler: Handler | None) -> Callable[..., Any] | None:
    return handler.function if handler else None


def _input_fn(handler: InferenceHandler, default_handler: object) -> Callable[..., Any]:
    """An ``input_fn`` that decodes as the handler does.

    A script function is returned as it is: AWS's MXNet container inspects its parameters.
    """
    decoders, default = handler.decoders, getattr(default_handler, "default_input_fn", None)
    if len(decoders.registered) == 1 and decoders.registered[0].is_script:
        return decoders.registered[0].handler.function
    if not decoders.registered and decoders.fallback and default is not None:
        return default  # type: ignore[no-any-return]

    def input_fn(body: Any, content_type: str | None, context: Any = None) -> Any:
        from sagemaker_inference.codecs import form

        header = content_type or ""
        data = body.encode() if isinstance(body, str) else body
        decoding = decoders.for_content_type(header)
        if decoding.is_form:
            return decoders.convert_fields([*form.decode(data, header).items()])
        return decoding.read(data, header, *([context] if decoding.handler else []))

    return input_fn


def _output_fn(handler: InferenceHandler, default_handler: object) -> Callable[..., Any]:
    """An ``output_fn`` that encodes as the handler does; a script function as it is."""
    encoders, default = handler.encoders, getattr(default_handler, "default_output_fn", None)
    if len(encoders.registered) == 1 and encoders.registered[0].is_script:
        return encoders.registered[0].handler.function
    if not encoders.registered and encoders.fallback and default is not None:
        return default  # type: ignore[no-any-return]

    def output_fn(prediction: Any, accept: str, context: Any = None) -> Any:
        """Return a body and its content type."""
        from sagemaker_inference._http.context import Context
        from sagemaker_inference._http.messages import Request

        encoding = encoders.for_accept(accept)
        kind = encoding.content_type
        if encoding.handler is None:
            return encoding.write(prediction, kind), kind
        context = context or Context(request=Request.from_body(b"", accept=accept))
        result = encoding.write(prediction, kind, context)
        return result if isinstance(result, tuple) else (result, kind)

    return output_fn


def _call(role: Any, function: Any, *arguments: Any) -> Any:
    from sagemaker_inference._program.signatures import Handler

    return Handler.from_function(role, function).call(*arguments)


def _run(handler: InferenceHandler, requests: Sequence[Any]) -> list[Any]:
    from sagemaker_inference._inference.inference_handler import run_without_loop
    from sagemaker_inference._inference.streams import whole_answers

    if handler.concurrency.is_async:
        import asyncio

        run = handler.run if handler.has_event_loop else asyncio.run
        return run(whole_answers(handler, requests))
    return run_without_loop(whole_answers(handler, requests))
