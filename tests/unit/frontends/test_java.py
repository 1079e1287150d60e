"""The front end's Java tests, compiled and run; and its error codes, compared with ours."""

import re
import shutil
import subprocess

import pytest
from support.documents import ROOT
from support.java_sources import build

from sagemaker_inference._errors import ErrorCode
from sagemaker_inference._frontends.mms import jar

SOURCE = ROOT / "java" / "src" / "sagemaker" / "inference" / "frontend"
WHY = "no javac is on PATH: THE JAVA TESTS OF THE FRONT END DID NOT RUN. Install a JDK."


@pytest.mark.once
@pytest.mark.skipif(shutil.which("javac") is None, reason=WHY)
def test_the_java_tests_pass(tmp_path):
    classes, tests = tmp_path / "classes", tmp_path / "tests"
    build.compile_classes(classes)
    build.compile_classes(tests, build.TESTS, str(classes))
    java = shutil.which("java")
    path = f"{tests}:{classes}:{jar.find_jar()}"
    log = ROOT / "sagemaker_inference" / "etc" / "log4j2.xml"
    command = [java, f"-Dlog4j.configurationFile={log.as_uri()}", "-cp", path, build.TEST_CLASS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    passed = re.search(r"^(\d+) passed, 0 failed$", done.stdout, re.MULTILINE)
    assert passed, done.stdout
    assert int(passed[1]) > 50


def test_codes_have_the_same_status_on_both_sides():
    text = (SOURCE / "ErrorCode.java").read_text()
    codes = dict(re.findall(r"^    ([A-Z_]+)\((\d+)\)[,;]", text, re.MULTILINE))
    assert len(codes) > 10
    assert codes == {name: str(ErrorCode[name].status.value) for name in codes}


def test_the_front_end_looks_into_no_private_fields():
    for source in build.SOURCES:
        text = source.read_text()
        assert not re.search(r"setAccessible|getDeclared|java\.lang\.reflect", text), source


def test_lines_are_short():
    for source in [*build.SOURCES, *build.TESTS]:
        for number, line in enumerate(source.read_text().splitlines(), 1):
            assert len(line) <= 100, f"{source}:{number}"
