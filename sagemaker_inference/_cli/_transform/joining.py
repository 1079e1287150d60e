"""What is taken out of records, and how outputs are joined to them."""

from __future__ import annotations

import csv
import io
import json
import re
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._cli._command import CommandError, needed
from sagemaker_inference._words import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

_INPUT: Final = "SageMakerInput"
_OUTPUT: Final = "SageMakerOutput"
# Of a path such as "$[0,-1]", or "$[0,2:]", what is between the brackets.
_COLUMNS: Final = re.compile(r"\$\.?\[([-\d,: ]+)\]")
_JSON_LINES: Final = ("application/jsonlines", "application/x-jsonlines")


class _Format(Protocol):
    def read(self, body: bytes) -> list[Any]: ...
    def write(self, records: Iterable[Any]) -> bytes: ...
    def join(self, record: Any, output: Any) -> Any: ...


# By csv, which takes no more than 131,072 by default: an image in base64 is longer.
_LONGEST_CELL: Final = (1 << 31) - 1
# Requests are made by several threads.
_LIMIT: Final = threading.Lock()


class _Csv:
    def read(self, body: bytes) -> list[Any]:
        with _LIMIT:
            # It is the program's own limit, too.
            before = csv.field_size_limit(_LONGEST_CELL)
            try:
                return list(csv.reader(io.StringIO(body.decode())))
            finally:
                csv.field_size_limit(before)

    def write(self, records: Iterable[Any]) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(
            record if isinstance(record, list) else [record] for record in records
        )
        return text.getvalue().encode()

    def join(self, record: Any, output: Any) -> Any:
        return [*record, *output]


class _JsonLines:
    def read(self, body: bytes) -> list[Any]:
        return [json.loads(line) for line in body.splitlines() if line.strip()]

    def write(self, records: Iterable[Any]) -> bytes:
        return "".join(f"{json.dumps(record)}\n" for record in records).encode()

    def join(self, record: Any, output: Any) -> Any:
        if isinstance(record, dict):
            return {**record, _OUTPUT: output}
        return {_INPUT: record, _OUTPUT: output}


class _Json(_JsonLines):
    def read(self, body: bytes) -> list[Any]:
        # A file that is not split is one document, which may have several lines.
        try:
            return [json.loads(body)]
        except ValueError:
            return super().read(body)


def _format_of(content_type: str, option: str) -> _Format:
    name = content_types.parse(content_type).name
    if name == content_types.CSV:
        return _Csv()
    if name == content_types.JSON:
        return _Json()
    if name in _JSON_LINES:
        return _JsonLines()
    message = (
        f"{option} is for text/csv and application/jsonlines (or JSON), and not for "
        f"{content_type or 'data without a type'}. Pass --content-type and --accept."
    )
    raise CommandError(message)


class Joining(NamedTuple):
    """What a job does with records besides sending them.

    Attributes:
        content_type: the type of the records.
        input_filter: the JSONPath of what is sent of each; "" for all of it.
        output_filter: the JSONPath of what is written; "" for all of it.
        is_joined: whether outputs are joined to their records.
    """

    content_type: str
    input_filter: str = ""
    output_filter: str = ""
    is_joined: bool = False

    def sent(self, body: bytes) -> bytes:
        """What is sent of the records of a request."""
        if not self.input_filter:
            return body
        records = _format_of(self.content_type, "--input-filter")
        return records.write(_filtered(records.read(body), self.input_filter))

    def written(self, body: bytes, answer: bytes, answer_type: str) -> bytes:
        """What is written for the records of a request.

        Args:
            body: the records, as they lie in the file.
            answer: the body of the answer.
            answer_type: its type.

        Raises:
            CommandError: there is not one output for each record.
        """
        if not (self.is_joined or self.output_filter):
            return answer
        option = "--join" if self.is_joined else "--output-filter"
        outputs = _format_of(answer_type, option)
        results = outputs.read(answer)
        if not self.is_joined:
            return outputs.write(_filtered(results, self.output_filter))
        inputs = _format_of(self.content_type, option)
        records = inputs.read(body)
        if isinstance(inputs, _Csv) is not isinstance(outputs, _Csv):
            message = (
                f"--join needs one format, and not {self.content_type} and {answer_type}. Pass "
                "--accept with the type of the input."
            )
            raise CommandError(message)
        if len(records) != len(results):
            message = (
                f"{counted(len(records), 'record')} sent, {len(results)} in the answer: --join "
                "needs one output for each."
            )
            raise CommandError(message)
        joined = [inputs.join(*pair) for pair in zip(records, results, strict=True)]
        return inputs.write(_filtered(joined, self.output_filter))


def _filtered(records: list[Any], path: str) -> list[Any]:
    """What a JSONPath selects of each record.

    Of a list, that is a list. Of an object, it is a value where the path leads to one, a list where
    it selects items of a list, and an object where it selects members.

    Raises:
        CommandError: it is not a JSONPath, selects nothing, or names a column that is not there.
    """
    if path in ("", "$"):
        return records
    jsonpath = needed("jsonpath")
    try:
        query = jsonpath.compile(path)
    except jsonpath.JSONPathError as error:
        message = f"{path!r} is not a JSONPath: {str(error).splitlines()[0]}"
        raise CommandError(message) from None
    columns = _columns(path)
    results = []
    for record in records:
        if isinstance(record, list):
            _check_columns(columns, record, path)
        matches = list(query.finditer(record))
        if not matches:
            message = f"{path!r} selects nothing of {json.dumps(record)[:80]}"
            raise CommandError(message)
        found = [match.obj for match in matches]
        # One path is one shape, however many a record has of what is selected.
        if isinstance(record, dict) and query.singular_query():
            results.append(found[0])
        elif isinstance(record, dict) and any(isinstance(one.parts[-1], str) for one in matches):
            results.append({str(one.parts[-1]): one.obj for one in matches})
        else:
            results.append(found)
    return results


def _columns(path: str) -> list[int]:
    """The columns that a JSONPath names, but for those of slices."""
    named = _COLUMNS.fullmatch(path)
    return [] if named is None else [int(one) for one in named[1].split(",") if ":" not in one]


def _check_columns(columns: list[int], record: list[Any], path: str) -> None:
    """Refuse columns that a record does not have.

    "If you specify indexes that aren't within the dimension size of the joined dataset, you get an
    error": https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DataProcessing.html
    """
    for column in columns:
        if not -len(record) <= column < len(record):
            message = f"{path!r} selects nothing of {json.dumps(record)[:80]} at {column}"
            raise CommandError(message)
