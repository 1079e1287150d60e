"""`transform`: inputs joined with outputs, and filters."""

from __future__ import annotations

import csv

import pytest
from support.transformed import CSV, LINES, replied, run

from sagemaker_inference._cli._command import CommandError
from sagemaker_inference._cli._transform.joining import Joining


def test_inputs_are_joined_with_outputs(tmp_path, summing):
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
def test_json_is_joined_line_by_line(tmp_path, summing, data, options, out):
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


def test_a_filter_is_written_as_for_a_job(tmp_path, summing):
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
