"""The jar of our part of the front end is made from the sources beside it."""

import importlib.util
import re
import shutil
import subprocess
import zipfile

import pytest
from support.documents import ROOT

spec = importlib.util.spec_from_file_location("build", ROOT / "java" / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)

WHY = f"no javac {build.JAVAC} is on PATH: not compared byte by byte"


def jar_contents():
    with zipfile.ZipFile(build.JAR) as jar:
        return {name: jar.read(name) for name in jar.namelist()}


def javac_release():
    javac = shutil.which("javac")
    if javac is None:
        return None
    said = subprocess.run([javac, "-version"], capture_output=True, text=True, check=True)
    return int(re.search(r"javac (\d+)", said.stdout + said.stderr)[1])


def test_it_was_made_from_these_sources():
    assert len(build.SOURCES) > 5
    assert jar_contents()[build.DIGEST].decode() == build.digest()


@pytest.mark.once
@pytest.mark.skipif(javac_release() != build.JAVAC, reason=WHY)
def test_it_holds_what_these_sources_compile_to(tmp_path):
    made = jar_contents()
    del made[build.DIGEST]
    assert build.compile_classes(tmp_path) == made
