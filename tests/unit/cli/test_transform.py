"""`transform`: how files are cut, sent and joined, as a batch transform job does."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import struct
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import Self

from sagemaker_inference import testing
from sagemaker_inference.__main__ import main
from sagemaker_inference._cli import transform
from sagemaker_inference._cli._command import CommandError
from sagemaker_inference._cli._transform import job
from sagemaker_inference._cli._transform.cutting import SPLITS, Record, batches
from sagemaker_inference._cli._transform.joining import Joining
from sagemaker_inference.codecs import recordio
from sagemaker_inference.testing import Client, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PROGRAM = """
import os
from sagemaker_inference import model_loader, predictor
from sagemaker_inference.errors import UnprocessableInputError

@model_loader
def load(model_dir):
    return os.environ["SAGEMAKER_BATCH"]

@predictor
def predict(data, model):
    assert model == "true"
    if isinstance(data, list):
        return data
    if data.min() < 0:
        raise UnprocessableInputError("Send no\\\\nnegative number.")
    return data.sum(axis=-1, keepdims=True)
"""
CSV = ("--content-type", "text/csv", "--accept", "text/csv", "--split", "Line")
LINES = ("--content-type", "application/jsonlines", "--split", "Line")


class Sent(Client):
    """A program that answers as it is told, and keeps what it has been sent."""

    def __init__(self, *answers: Reply | OSError, parameters: dict[str, Any] | None = None) -> None:
        self.answers = list(answers)
        self.parameters = parameters
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        if path == "/execution-parameters":
            assert method == "GET"
            status = 404 if self.parameters is None else 200
            return Reply(status, [], json.dumps(self.parameters).encode())
        self.bodies.append(body)
        self.headers.append(dict(headers or {}))
        if not self.answers:
            return Reply(200, [("Content-Type", "text/csv")], b"%d" % len(body))
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer


def replied(status: int, body: bytes, content_type: str = "text/csv", **headers: str) -> Reply:
    return Reply(status, [("Content-Type", content_type), *headers.items()], body)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[str]:
    """A program that sums rows; the variables of a job are put back."""
    (tmp_path / "inference.py").write_text(PROGRAM)
    before = dict(os.environ)
    yield str(tmp_path / "inference.py")
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


@pytest.fixture
def sent(program: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sent]:
    """Put a program that answers as it is told in the place of the user's."""
    assert program

    def use(*answers: Reply | OSError, **options: Any) -> Sent:
        client = Sent(*answers, **options)
        monkeypatch.setattr(testing, "TestClient", lambda *_, **__: client)
        return client

    return use


def run(tmp_path: Path, data: bytes, *options: str) -> tuple[int, bytes | None]:
    """The exit code of a job, and its output."""
    (tmp_path / "in").write_bytes(data)
    words = [str(tmp_path / name) for name in ("inference.py", "in", "out")]
    code = main(["transform", *words, *options])
    out = tmp_path / "out"
    assert sorted(path.name for path in tmp_path.glob("*unfinished*")) == []
    return code, out.read_bytes() if out.exists() else None


def test_a_file_is_transformed_by_the_program(tmp_path, program, capsys):
    assert run(tmp_path, b"1,2\n3,4\n5,6\n", *CSV) == (0, b"3\n7\n11\n")
    said = capsys.readouterr().out
    pattern = r".*/out: 3 records in 1 request, \d+\.\d\d s, \d+ records/s\n"
    assert re.fullmatch(pattern, said)


@pytest.mark.parametrize("strategy", ["SingleRecord", "MultiRecord"])
def test_outputs_are_in_the_order_of_their_records(tmp_path, program, strategy):
    rows = b"".join(b"%d,1\n" % number for number in range(200))
    options = ["--strategy", strategy, "--max-payload-mb", "1", "--max-concurrent-transforms", "8"]
    code, out = run(tmp_path, rows, *CSV, "--assemble", "Line", *options)
    assert code == 0
    numbers = [float(text) for text in out.split()]
    assert numbers == [number + 1 for number in range(200)]


def test_a_file_of_which_a_request_fails_has_no_output(tmp_path, program, capsys):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, data in {"a.csv": b"1,2\n", "b.csv": b"1,2\n-1,2\n", "c.csv": b"5,6\n"}.items():
        (folder / name).write_bytes(data)
    (folder / "more").mkdir()
    words = ["transform", program, str(folder), str(tmp_path / "results")]
    assert main([*words, *CSV, "--strategy", "SingleRecord"]) == 1
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == [
        "a.csv.out",
        "c.csv.out",
    ]
    said = capsys.readouterr().err
    assert f"{folder}/b.csv: Bad HTTP status received from algorithm: 422. " in said
    assert "Send no" in said


def test_a_file_goes_into_a_folder_that_is_there(tmp_path, sent):
    sent()
    (tmp_path / "out").mkdir()
    (tmp_path / "in").write_bytes(b"abc")
    assert main(["transform", __file__, str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "in.out").read_bytes() == b"3"


@pytest.mark.parametrize(
    ("split", "strategy", "bodies"),
    [
        ("None", "SingleRecord", [b"a\nb\r\nc"]),
        ("Line", "SingleRecord", [b"a\n", b"b\r\n", b"c"]),
        ("Line", "MultiRecord", [b"a\nb\r\nc"]),
    ],
)
def test_records_are_sent_as_they_lie_in_the_file(tmp_path, sent, split, strategy, bodies):
    client = sent()
    assert run(tmp_path, b"a\nb\r\nc", "--split", split, "--strategy", strategy)[0] == 0
    assert client.bodies == bodies
    assert client.headers == [{}] * len(bodies)


def test_frames_of_binary_formats_are_cut_and_taken_off_single_records(tmp_path, sent):
    frames = [recordio.encode([[number + 0.5]]) for number in range(3)]
    client = sent()
    options = ["--split", "RecordIO", "--strategy"]
    assert run(tmp_path, b"".join(frames), *options, "MultiRecord")[0] == 0
    assert client.bodies == [b"".join(frames)]
    client.bodies.clear()
    assert run(tmp_path, b"".join(frames), *options, "SingleRecord")[0] == 0
    lengths = [struct.unpack("<II", frame[:8])[1] for frame in frames]
    assert client.bodies == [
        frame[8 : 8 + length] for frame, length in zip(frames, lengths, strict=True)
    ]
    records = [struct.pack("<QI", 3, 9) + b"abc" + struct.pack("<I", 8), b"\0" * 16]
    client.bodies.clear()
    options = ["--split", "TFRecord", "--strategy"]
    assert run(tmp_path, b"".join(records), *options, "SingleRecord")[0] == 0
    assert client.bodies == [b"abc", b""]
    client.bodies.clear()
    assert run(tmp_path, b"".join(records), *options, "MultiRecord")[0] == 0
    assert client.bodies == [b"".join(records)]


@pytest.mark.parametrize(
    ("split", "data", "problem"),
    [
        ("RecordIO", b"12345678", "the file is not RecordIO"),
        ("RecordIO", b"123", "the last record of the file is not complete"),
        ("RecordIO", struct.pack("<II", 0xCED7230A, 5), "the last record of the file is not"),
        ("TFRecord", struct.pack("<QI", 5, 0) + b"abc", "the last record of the file is not"),
        ("TFRecord", b"\xff" * 12, "the file is not TFRecord: a record has a length that no"),
        ("Line", b"a" * (1 << 20) + b"a\n", "record 1 has 1048578 bytes, and a request may have"),
    ],
)
def test_a_file_that_cannot_be_cut_is_named(tmp_path, sent, capsys, split, data, problem):
    sent()
    assert run(tmp_path, data, "--split", split, "--max-payload-mb", "1") == (1, None)
    assert problem in capsys.readouterr().err


def test_a_server_that_does_not_run_is_named(tmp_path, capsys):
    (tmp_path / "in.csv").write_text("1\n")
    words = [str(tmp_path / "in.csv"), str(tmp_path / "out.csv"), "--content-type", "text/csv"]
    assert main(["transform", "http://127.0.0.1:1", *words]) == 1
    said = capsys.readouterr().err
    assert said.startswith("sagemaker-inference: error: there is no answer from the server: ")
    assert said.count("\n") == 1


@given(st.lists(st.binary(min_size=1, max_size=9)), st.integers(9, 30), st.booleans())
def test_requests_are_full_and_hold_all_records_once(lines, limit, is_multi):
    records = [Record(line, line) for line in lines]
    made = list(batches(records, limit, is_multi=is_multi))
    assert b"".join(batch.body for batch in made) == b"".join(lines)
    assert sum(batch.records for batch in made) == len(lines)
    assert all(len(batch.body) <= limit for batch in made)
    if not is_multi:
        assert [batch.records for batch in made] == [1] * len(lines)
    firsts = [sum(batch.records for batch in made[:index]) for index in range(1, len(made))]
    for batch, first in zip(made, firsts, strict=False):
        assert not is_multi or len(batch.body) + len(lines[first]) > limit


def test_no_limit_is_one_request():
    records = [Record(b"ab", b"ab")] * 5
    assert [batch.records for batch in batches(records, 0, is_multi=True)] == [5]


def test_compressed_files_are_sent_as_what_is_in_them(tmp_path, sent):
    client = sent()
    assert run(tmp_path, gzip.compress(b"a\nb\n"), "--compression", "Gzip")[0] == 0
    assert client.bodies == [b"a\nb\n"]
    assert run(tmp_path, b"no gzip", "--compression", "Gzip")[0] == 1


@pytest.mark.parametrize("at", [-9, 20])
def test_a_damaged_compressed_file_is_named(tmp_path, sent, capsys, at):
    sent()
    packed = gzip.compress(bytes(range(256)) * 9)
    broken = packed[:at] if at < 0 else packed[:at] + b"\xff" * 99 + packed[at + 99 :]
    assert run(tmp_path, broken, "--compression", "Gzip") == (1, None)
    assert "in is not a whole gzip file: " in capsys.readouterr().err


def test_a_stream_that_breaks_off_fails_the_file(tmp_path, sent, capsys):
    broken = Reply(200, [("Content-Type", "text/csv")], b"a\n", is_complete=False)
    client = sent(broken, broken, broken, broken)
    assert run(tmp_path, b"1\n") == (1, None)
    assert len(client.bodies) > 1
    assert "the stream broke off" in capsys.readouterr().err


def test_each_response_ends_with_one_newline_where_asked_for(tmp_path, sent):
    answers = [replied(200, text) for text in (b"a", b"b\n", b"", b"c")]
    sent(*answers)
    options = ["--split", "Line", "--strategy", "SingleRecord"]
    rows = b"1\n2\n3\n4\n"
    assert run(tmp_path, rows, *options, "--assemble", "Line") == (0, b"a\nb\n\nc\n")
    sent(replied(200, b"a"), replied(200, b"b\n"))
    assert run(tmp_path, b"1\n2\n", *options) == (0, b"ab\n")


def test_faults_of_the_server_are_tried_again(tmp_path, sent, monkeypatch, capsys):
    waits = []
    monkeypatch.setattr(job.time, "sleep", waits.append)
    client = sent(
        replied(503, b"busy", **{"Retry-After": "2"}),
        replied(500, b"failed"),
        OSError("gone"),
        replied(200, b"a"),
    )
    assert run(tmp_path, b"1") == (0, b"a")
    assert len(client.bodies) == 4
    assert waits == [2.0]
    client = sent(*(replied(429, b"a\nb", **{"Retry-After": "60"}) for _ in range(3)))
    (tmp_path / "out").unlink()
    assert run(tmp_path, b"1", "--max-retries", "2") == (1, None)
    assert len(client.bodies) == 3
    assert waits == [2.0, 5.0, 5.0]
    assert "Bad HTTP status received from algorithm: 429. a b\n" in capsys.readouterr().err
    client = sent(OSError("gone"))
    assert run(tmp_path, b"1", "--max-retries", "0") == (1, None)
    assert "Unable to get response from algorithm: gone\n" in capsys.readouterr().err


def test_faults_of_the_client_are_not_tried_again(tmp_path, sent):
    client = sent(replied(400, b"bad"))
    assert run(tmp_path, b"1") == (1, None)
    assert len(client.bodies) == 1


def test_a_failure_leaves_out_what_follows(tmp_path, sent):
    client = sent(*(replied(400, b"bad") for _ in range(100)))
    options = ["--split", "Line", "--strategy", "SingleRecord"]
    assert run(tmp_path, b"1\n" * 100, *options) == (1, None)
    assert len(client.bodies) < 100


def test_what_the_job_leaves_open_the_container_says(tmp_path, sent):
    said = {"MaxPayloadInMB": 1, "MaxConcurrentTransforms": 3, "BatchStrategy": "SINGLE_RECORD"}
    client = sent(parameters=said)
    assert run(tmp_path, b"1\n2\n", "--split", "Line")[0] == 0
    assert sorted(client.bodies) == [b"1\n", b"2\n"]
    client = sent(parameters=said)
    options = ["--strategy", "MultiRecord", "--max-payload-mb", "2"]
    options += ["--max-concurrent-transforms", "1"]
    assert run(tmp_path, b"1\n2\n", "--split", "Line", *options)[0] == 0
    assert client.bodies == [b"1\n2\n"]
    assert os.environ["SAGEMAKER_BATCH_STRATEGY"] == "MultiRecord"
    assert os.environ["SAGEMAKER_MAX_PAYLOAD_IN_MB"] == "2"
    assert os.environ["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] == "1"


def test_a_server_that_says_nonsense_of_jobs_is_named(tmp_path, sent, capsys):
    sent(parameters=[1])
    assert run(tmp_path, b"1\n") == (1, None)
    assert "is answered with b'[1]', no JSON object" in capsys.readouterr().err


def test_more_than_the_platform_takes_is_a_wrong_command_line(tmp_path, sent, capsys):
    sent()
    options = ["--max-payload-mb", "50", "--max-concurrent-transforms", "3"]
    assert run(tmp_path, b"1", *options) == (2, None)
    assert "3 times --max-payload-mb 50 is over 100" in capsys.readouterr().err


def test_an_output_is_closed_before_it_is_renamed(tmp_path, sent, monkeypatch):
    opened = []
    rename = Path.replace

    def replace(path: Path, target: Path) -> Path:
        opened.extend(one.resolve() for one in Path("/proc/self/fd").iterdir())
        assert path.resolve() not in opened
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    sent(replied(200, b"1\n"))
    assert run(tmp_path, b"1\n") == (0, b"1\n")
    assert opened


def test_inputs_are_joined_with_outputs(tmp_path, program):
    code, out = run(tmp_path, b"1,2\n3,4\n", *CSV, "--join", "Input", "--output-filter", "$[0,-1]")
    assert (code, out) == (0, b"1,3\n3,7\n")
    code, out = run(tmp_path, b"7,1,2\n8,3,4\n", *CSV, "--input-filter", "$[1:]", "--join", "Input")
    assert (code, out) == (0, b"7,1,2,3\n8,3,4,7\n")


def test_a_cell_may_be_long(tmp_path, sent):
    cell = b"x" * 200_000
    sent(replied(200, b"1\n"))
    code, out = run(tmp_path, b"1," + cell + b"\n", *CSV, "--join", "Input")
    assert (code, out) == (0, b"1," + cell + b",1\n")
    assert csv.field_size_limit() < len(cell)


@pytest.mark.parametrize(
    ("kind", "data", "problem"),
    [
        ("text/csv", b"1\r2\n", "new-line character seen in unquoted field"),
        ("application/jsonlines", b"[" * 100_000, "recursion"),
    ],
)
def test_records_that_cannot_be_read_fail_their_file(tmp_path, sent, capsys, kind, data, problem):
    sent()
    words = ["--content-type", kind, "--accept", kind, "--split", "Line", "--join", "Input"]
    assert run(tmp_path, data, *words) == (1, None)
    said = capsys.readouterr().err
    assert "it cannot be transformed: " in said
    assert problem in said


@pytest.mark.parametrize(
    ("data", "options", "out"),
    [
        (b'{"id": 1}\n{"id": 2}\n', ["--join", "Input"],
         b'{"id": 1, "SageMakerOutput": {"id": 1}}\n{"id": 2, "SageMakerOutput": {"id": 2}}\n'),
        (b"[1]\n\n", ["--join", "Input"], b'{"SageMakerInput": [1], "SageMakerOutput": [1]}\n'),
        (b'{"id": 1, "x": 2}\n', ["--join", "Input", "--output-filter", "$['id','SageMakerOutput']",
                                 "--input-filter", "$.x"], b'{"id": 1, "SageMakerOutput": 2}\n'),
        (b'{"id": 1, "x": 2}\n', ["--output-filter", "$.x"], b"2\n"),
        (b'{"id": 1, "x": 2}\n', ["--output-filter", "$"], b'{"id": 1, "x": 2}\n'),
    ],
)  # fmt: skip
def test_json_is_joined_line_by_line(tmp_path, program, data, options, out):
    words = [*LINES, "--accept", "application/jsonlines", *options]
    assert run(tmp_path, data, *words) == (0, out)


@pytest.mark.parametrize("option", ["--input-filter", "--output-filter"])
@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("x", "'x' is not a JSONPath that SageMaker takes"),
        ("$..x", "is not a JSONPath"),
        ("$[?@.x > 1]", "is not a JSONPath"),
        (f"$.{'x' * 62}", "has 64 characters, of at most 63"),
    ],
)
def test_a_filter_that_no_job_takes_is_refused(tmp_path, sent, capsys, option, path, problem):
    sent()
    assert run(tmp_path, b'{"x": 1}\n', *LINES, option, path) == (2, None)
    assert problem in capsys.readouterr().err


def test_a_filter_is_written_as_for_a_job(tmp_path, program):
    words = [*LINES, "--accept", "application/jsonlines", "--output-filter", "$.a.['b','c']"]
    data = b'{"a": {"b": 1, "c": 2, "d": 3}}\n'
    assert run(tmp_path, data, *words) == (0, b'{"b": 1, "c": 2}\n')


@pytest.mark.parametrize(
    ("document", "joined"),
    [
        (b'{\n "id": 1\n}\n', b'{"id": 1, "SageMakerOutput": [2]}\n'),
        (b"[\n 1,\n 2\n]\n", b'{"SageMakerInput": [1, 2], "SageMakerOutput": [2]}\n'),
    ],
)
def test_a_json_file_that_is_not_split_is_one_record(document, joined):
    joining = Joining("application/json", is_joined=True)
    assert joining.written(document, b"[\n2\n]", "application/json") == joined


@pytest.mark.parametrize(
    ("path", "selected"),
    [
        ("$.x", b"[1, 2]\n[3]\n"),
        ("$.x[0]", b"1\n3\n"),
        ("$.x[0:2]", b"[1, 2]\n[3]\n"),
        ("$.x[*]", b"[1, 2]\n[3]\n"),
        ("$['x','y']", b'{"x": [1, 2], "y": 0}\n{"x": [3]}\n'),
        ("$.*", b'{"x": [1, 2], "y": 0}\n{"x": [3]}\n'),
    ],
)
def test_what_is_selected_of_objects_has_one_shape(path, selected):
    joining = Joining("application/jsonlines", input_filter=path)
    assert joining.sent(b'{"x": [1, 2], "y": 0}\n{"x": [3]}\n') == selected


def test_a_filtered_value_is_a_row_of_its_own():
    joining = Joining("application/jsonlines", input_filter="$.x")
    assert joining.sent(b'{"x": [1, 2]}\n') == b"[1, 2]\n"
    joining = Joining("text/csv", output_filter="$[1]")
    assert joining.written(b"", b"1,2\n", "text/csv; charset=utf-8") == b"2\n"


@pytest.mark.parametrize(
    ("joining", "answer_type", "problem"),
    [
        (Joining("image/png", input_filter="$[0]"), "", "--input-filter is for text/csv"),
        (Joining("", is_joined=True), "text/csv", "and not for data without a type"),
        (Joining("text/csv", is_joined=True), "text/plain", "--join is for text/csv"),
        (Joining("text/csv", is_joined=True), "application/jsonlines", "--join needs one format"),
        (Joining("text/csv", output_filter="$["), "text/csv", "'$[' is not a JSONPath"),
        (
            Joining("text/csv", output_filter="$[7]"),
            "text/csv",
            "'$[7]' selects nothing of [\"1\"]",
        ),
        (
            Joining("text/csv", output_filter="$[0, 7]"),
            "text/csv",
            "'$[0, 7]' selects nothing of [\"1\"] at 7",
        ),
        (
            Joining("text/csv", is_joined=True, output_filter="$[0:,-3]"),
            "text/csv",
            '\'$[0:,-3]\' selects nothing of ["1", "1"] at -3',
        ),
    ],
)
def test_what_cannot_be_joined_is_named(joining, answer_type, problem):
    def both():
        joining.sent(b"1\n")
        joining.written(b"1\n", b"1\n", answer_type)

    with pytest.raises(CommandError) as caught:
        both()
    assert problem in caught.value.format_message()


def test_another_number_of_outputs_fails_the_file(tmp_path, sent, capsys):
    sent(replied(200, b"1\n2\n"))
    assert run(tmp_path, b"1\n", *CSV, "--join", "Input") == (1, None)
    assert "1 record sent, 2 in the answer" in capsys.readouterr().err


def test_a_terminal_shows_how_far_a_file_is(tmp_path, sent, monkeypatch):
    shown = []

    class Terminal(types.SimpleNamespace):
        def write(self, text: str) -> int:
            shown.append(text)
            return len(text)

    terminal = Terminal(isatty=lambda: True, flush=lambda: None, encoding="utf-8")
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    sent()
    (tmp_path / "in").write_bytes(b"abc")
    assert main(["transform", __file__, str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    assert "in" in "".join(shown)


def test_a_server_at_a_url_is_asked(tmp_path, monkeypatch):
    from sagemaker_inference._cli import _endpoint

    client = Sent()
    client.close = lambda: client.bodies.append(b"closed")
    monkeypatch.setattr(_endpoint, "Endpoint", lambda url: client if url == "http://h" else None)
    (tmp_path / "in").write_bytes(b"abc")
    assert main(["transform", "http://h", str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    assert client.bodies == [b"abc", b"closed"]


def test_a_file_does_not_replace_itself(tmp_path, sent, capsys):
    sent()
    (tmp_path / "in").write_bytes(b"abc")
    assert main(["transform", __file__, str(tmp_path / "in"), str(tmp_path / "in")]) == 2
    assert "is the input and the output" in capsys.readouterr().err
    assert (tmp_path / "in").read_bytes() == b"abc"


def test_splits_are_the_platforms():
    assert list(SPLITS) == ["None", "Line", "RecordIO", "TFRecord"]
    assert {option.name for option in transform.command.params} >= {"split", "strategy", "join"}
