"""`transform`: how files are cut, sent and joined, as a batch transform job does."""

from __future__ import annotations

import gzip
import os
import re
import struct
import sys
import types
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.transformed import CSV, Sent, replied, run

from sagemaker_inference.__main__ import main
from sagemaker_inference._cli import transform
from sagemaker_inference._cli._transform import job
from sagemaker_inference._cli._transform.cutting import SPLITS, Record, batches
from sagemaker_inference.codecs import recordio
from sagemaker_inference.testing import Reply


def test_a_file_is_transformed_by_the_program(tmp_path, summing, capsys):
    assert run(tmp_path, b"1,2\n3,4\n5,6\n", *CSV) == (0, b"3\n7\n11\n")
    said = capsys.readouterr().out
    pattern = r".*/out: 3 records in 1 request, \d+\.\d\d s, \d+ records/s\n"
    assert re.fullmatch(pattern, said)


@pytest.mark.parametrize("strategy", ["SingleRecord", "MultiRecord"])
def test_outputs_are_in_the_order_of_their_records(tmp_path, summing, strategy):
    rows = b"".join(b"%d,1\n" % number for number in range(200))
    options = ["--strategy", strategy, "--max-payload-mb", "1", "--max-concurrent-transforms", "8"]
    code, out = run(tmp_path, rows, *CSV, "--assemble", "Line", *options)
    assert code == 0
    numbers = [float(text) for text in out.split()]
    assert numbers == [number + 1 for number in range(200)]


def test_a_file_of_which_a_request_fails_has_no_output(tmp_path, summing, capsys):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, data in {"a.csv": b"1,2\n", "b.csv": b"1,2\n-1,2\n", "c.csv": b"5,6\n"}.items():
        (folder / name).write_bytes(data)
    (folder / "more").mkdir()
    words = ["transform", summing, str(folder), str(tmp_path / "results")]
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
