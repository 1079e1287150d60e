"""Codecs by content type, and the caches of look-ups among them."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar, overload
from weakref import WeakSet

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import RegistrationError
from sagemaker_inference.codecs import _extras

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from functools import _lru_cache_wrapper

Body: TypeAlias = bytes | bytearray | memoryview

_K = TypeVar("_K", bound="Hashable")
_V = TypeVar("_V")

# Headers come from clients: what is kept about them must not grow with what they send.
_CACHE_SIZE: Final = 256
# RFC 6838 section 4.2, in lower case.
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")


@dataclass(frozen=True, slots=True)
class Codec:
    """One format.

    >>> yaml = Codec("yaml", ("application/yaml",), encode=lambda value, _: f"- {value}".encode())
    >>> yaml.encode("cat", "application/yaml")
    b'- cat'

    Attributes:
        name: the format's name, for messages.
        content_types: its names in headers; the first is the canonical one.
        decode: ``decode(body, content_type)`` takes a body and its full Content-Type header
            (parameters such as ``charset`` and ``header`` count); None if the format can only be
            written.
        encode: ``encode(prediction, content_type)`` takes a prediction and the negotiated content
            type; None if the format can only be read, or the library that writes it is not
            installed.
    """

    name: str
    content_types: tuple[str, ...]
    decode: Callable[[Body, str], object] | None = None
    encode: Callable[[object, str], Body] | None = None


class _Source(NamedTuple):
    """Where a codec comes from, and what it needs.

    Attributes:
        codec: the codec, or the path of the module that has its functions.
        content_types: as for `Codec`, in lower case.
        decodes: whether there is a ``decode``.
        encodes: whether there is an ``encode``.
        decode_needs: the library that ``decode`` imports, or "".
        encode_needs: the library that ``encode`` imports, or "".
        install: what to pass to ``pip install`` for these libraries.
    """

    codec: Codec | str
    content_types: tuple[str, ...]
    decodes: bool
    encodes: bool
    decode_needs: str
    encode_needs: str
    install: str

    @property
    def is_readable(self) -> bool:
        return self.decodes and (not self.decode_needs or _extras.is_installed(self.decode_needs))

    @property
    def is_writable(self) -> bool:
        return self.encodes and (not self.encode_needs or _extras.is_installed(self.encode_needs))

    def load(self) -> Codec:
        """Make the codec; functions whose library is missing are left out, or refuse.

        A module of which no function can be used is not imported: its import could fail.
        """
        functions: Any = None
        if isinstance(self.codec, Codec):
            name, functions = self.codec.name, self.codec
        else:
            name = self.codec.rpartition(".")[2]
            if self.is_readable or self.is_writable:
                functions = import_module(self.codec)
        return Codec(
            name,
            self.content_types,
            decode=functions.decode if self.is_readable else self._refuse if self.decodes else None,
            encode=functions.encode if self.is_writable else None,
        )

    def _refuse(self, _body: Body, _content_type: str) -> object:
        raise _extras.missing(self.decode_needs, self.content_types[0], self.install)


class Catalogue:
    """Codecs by content type.

    Attributes:
        for_content_type: the codec of a Content-Type header, regardless of case and parameters;
            None if there is none. If the library that reads the format is missing, ``decode``
            raises UnsupportedMediaTypeError, and the log has the command that installs it.
    """

    def __init__(self) -> None:
        self._sources: dict[str, _Source] = {}
        # Canonical names, in order of preference; a name that is registered again keeps its rank.
        self._offers: dict[str, None] = {}
        # Weak, since every program that is assembled adds caches of its own.
        self._caches: WeakSet[_lru_cache_wrapper[Any]] = WeakSet()
        self._load = self.cached(_Source.load)
        self.for_content_type = self.cached(self._find)

    @overload
    def register(
        self,
        codec: Codec,
        /,
        *,
        decode_needs: str = "",
        encode_needs: str = "",
        install: str = "",
    ) -> None: ...

    @overload
    def register(
        self,
        codec: str,
        /,
        *names: str,
        decodes: bool = True,
        encodes: bool = True,
        decode_needs: str = "",
        encode_needs: str = "",
        install: str = "",
    ) -> None: ...

    def register(  # noqa: PLR0913 - one fact about a codec each
        self,
        codec: Codec | str,
        /,
        *names: str,
        decodes: bool = True,
        encodes: bool = True,
        decode_needs: str = "",
        encode_needs: str = "",
        install: str = "",
    ) -> None:
        """Add a codec; requests and responses of its content types use it from then on.

        >>> from sagemaker_inference import codecs
        >>> hexadecimal = codecs.Codec(
        ...     "hexadecimal",
        ...     ("text/x-hex",),
        ...     decode=lambda body, content_type: bytes.fromhex(str(body, "ascii")),
        ...     encode=lambda prediction, content_type: bytes(prediction).hex().encode(),
        ... )
        >>> codecs.register(hexadecimal)
        >>> codecs.for_content_type("text/x-hex; charset=ascii").encode([15, 255], "text/x-hex")
        b'0fff'

        A format that is worth a module is registered by the module's path. The module is imported
        when the format is first used; it has the functions ``decode(body, content_type)`` and
        ``encode(prediction, content_type)``::

            codecs.register(
                "acme.avro", "application/avro", "avro/binary", decode_needs="fastavro",
                encode_needs="fastavro", install="acme[avro]",
            )

        The last registration of a content type wins, so a program can replace a built-in format.
        Only that content type is replaced: other names of the same format stay as they are. A
        replaced content type keeps its rank among those offered to clients; new ones rank last.
        A program's decoders and encoders override codecs, and forms are always read by the
        built-in codec.

        Args:
            codec: the codec, or the path of a module.
            names: the module's content types, the canonical one first; a `Codec` has its own.
            decodes: whether the module has ``decode``.
            encodes: whether the module has ``encode``.
            decode_needs: the library without which ``decode`` fails, by the name that Python
                imports. If it is not installed, the format is not offered, requests that use it
                get status 415, and the log has the command that installs it.
            encode_needs: the same for ``encode``, and status 406.
            install: the argument of ``pip install`` that provides these libraries; the library's
                name by default.

        Raises:
            RegistrationError: there is no content type, or one has a wildcard or parameters.
        """
        if isinstance(codec, Codec):
            names = (*codec.content_types, *names)
            decodes, encodes = codec.decode is not None, codec.encode is not None
        parsed = tuple(name.strip().lower() for name in names)
        if not parsed or not all(map(_MEDIA_TYPE.fullmatch, parsed)):
            label = codec.name if isinstance(codec, Codec) else codec
            message = (
                f"Codec {label!r} needs content types without wildcards and parameters, such as "
                f"'application/x-{label.rpartition('.')[2]}'; got {names}."
            )
            raise RegistrationError(message)
        source = _Source(codec, parsed, decodes, encodes, decode_needs, encode_needs, install)
        self._sources.update(dict.fromkeys(parsed, source))
        self._offers.setdefault(parsed[0])
        self._clear_caches()

    @contextmanager
    def isolated(self) -> Iterator[None]:
        """Undo on exit what is registered inside, for tests.

        >>> from sagemaker_inference import codecs
        >>> with codecs.isolated():
        ...     codecs.register(codecs.Codec("x", ("text/x",), decode=lambda body, _: bytes(body)))
        >>> codecs.for_content_type("text/x") is None
        True
        """
        kept = self._sources.copy(), self._offers.copy()
        self._clear_caches()
        try:
            yield
        finally:
            self._sources, self._offers = kept
            self._clear_caches()

    def encodable(self) -> tuple[str, ...]:
        """Canonical names of the content types that can be written here, preferred ones first.

        >>> from sagemaker_inference import codecs
        >>> codecs.encodable()[:2]
        ('application/json', 'text/csv')
        """
        return tuple(name for name in self._offers if self._sources[name].is_writable)

    def decodable(self) -> tuple[str, ...]:
        """Canonical names of the content types that can be read here, preferred ones first.

        >>> from sagemaker_inference import codecs
        >>> "multipart/form-data" in codecs.decodable()
        True
        """
        return tuple(name for name in self._offers if self._sources[name].is_readable)

    def fix_for(self, content_type: str) -> str | None:
        """What to install so that a content type can be written; None if nothing is missing.

        >>> from sagemaker_inference import codecs
        >>> codecs.fix_for("application/json") is None
        True
        """
        source = self._sources.get(content_types.parse(content_type).name)
        if source is None or source.is_writable or not source.encode_needs:
            return None
        return _extras.fix_for(source.encode_needs, source.content_types[0], source.install)

    def cached(self, function: Callable[[_K], _V]) -> Callable[[_K], _V]:
        """Cache a function whose results depend on codecs: a registration empties the cache."""
        cache = lru_cache(_CACHE_SIZE)(function)
        self._caches.add(cache)
        return cache

    def _find(self, content_type: str) -> Codec | None:
        """The codec of a Content-Type header; see `for_content_type`.

        >>> from sagemaker_inference import codecs
        >>> codecs.for_content_type("text/CSV; charset=utf-8").name
        'csv'
        """
        source = self._sources.get(content_types.parse(content_type).name)
        return None if source is None else self._load(source)

    def _clear_caches(self) -> None:
        for cache in self._caches:
            cache.cache_clear()
