r"""The format of access lines, whoever writes them: workers, or the supervisor for the front end.

>>> AccessLine("POST", "/invocations", {"total": 1}).write("12:00Z", 200, [0.26], "some-id")
b'12:00Z INFO POST /invocations 200 total=0.3 ms id=some-id\n'
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class AccessLine:
    """Writes lines about requests of one method to one path.

    Args:
        method: the method.
        path: the path.
        times: the names of what is measured, and their decimals in text.
        as_json: JSON instead of text.
    """

    def __init__(
        self, method: str, path: str, times: Mapping[str, int], *, as_json: bool = False
    ) -> None:
        self._method, self._path, self._as_json = method, path, as_json
        self._names = [f"{name}_ms" for name in times]
        start = f"{method} {path}".replace("%", "%%")
        texts = " ".join(f"{name}=%.{decimals}f" for name, decimals in times.items())
        self._text = f"%s INFO {start} %d {texts} ms id=%s\n"

    def write(
        self,
        stamp: str,
        status: int,
        milliseconds: Sequence[float],
        request_id: str,
        facts: Mapping[str, object] | None = None,
    ) -> bytes:
        """A line with its end.

        Args:
            stamp: when the request was answered, as `_log.timestamp` writes it.
            status: the status of its answer.
            milliseconds: what is measured, in the order of the names.
            request_id: its id.
            facts: what else is said of it.
        """
        if not self._as_json:
            # The fastest of the ways to format, and this is done for every request.
            line = self._text % (stamp, status, *milliseconds, request_id)
            if facts:
                line = " ".join([line[:-1], *(f"{key}={fact}" for key, fact in facts.items())])
                line += "\n"
            return line.encode()
        times = zip(self._names, milliseconds, strict=True)
        document = {
            "time": stamp,
            "level": "INFO",
            "method": self._method,
            "path": self._path,
            "status": int(status),
            **{name: round(value, 3) for name, value in times},
            **(facts or {}),
            "request_id": request_id,
        }
        return json.dumps(document).encode() + b"\n"
