"""One failure has one code, in Python and in Java."""

import re
from pathlib import Path

import pytest

from sagemaker_inference.errors import ErrorCode

SOURCE = Path(__file__).parents[2] / "java/src/sagemaker/inference/frontend/ErrorCode.java"
CONSTANT = re.compile(r"^    ([A-Z_]+)\((\d+)\)[,;]$", re.MULTILINE)
CODES = CONSTANT.findall(SOURCE.read_text())


def test_there_is_something_to_compare():
    assert len(CODES) > 10
    assert "OUT_OF_MEMORY" in dict(CODES)


@pytest.mark.parametrize(("name", "status"), CODES)
def test_a_code_of_the_front_end_is_one_of_ours_with_its_status(name, status):
    assert ErrorCode[name] == name.lower()
    assert ErrorCode[name].status == int(status)
