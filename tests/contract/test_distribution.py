"""What is installed: files besides modules, and versions that are tested."""

import configparser
import os
import re
from importlib.metadata import metadata, requires, version
from pathlib import Path

import pytest

import sagemaker_inference

ROOT = Path(sagemaker_inference.__file__).parent
CHECKOUT = Path(__file__).parents[2]
LOWEST = CHECKOUT / ".ci" / "lowest.txt"


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "etc/log4j2.xml",
        "etc/frontend.jar",
        "_cli/_templates/common/Dockerfile.template",
        "_cli/_dev/page/index.html",
        "_cli/_dev/page/console.css",
        "_cli/_dev/page/console.js",
        "_cli/_dev/page/responses.js",
    ],
)
def test_a_file_that_is_no_module_is_installed(name):
    assert (ROOT / name).is_file()


def lowest():
    return dict(re.findall(r"^([\w-]+)==(.+)$", LOWEST.read_text(), re.MULTILINE))


def test_the_lowest_versions_are_those_that_are_tested():
    allowed = {}
    for line in requires("sagemaker-inference"):
        if "extra ==" not in line:
            name = re.match(r"[\w.-]+", line)[0]
            allowed[name] = re.search(r">=([\d.]+)", line)[1]
    assert {name: number.removesuffix(".0") for name, number in lowest().items()} == allowed


@pytest.mark.skipif(
    os.environ.get("PIP_CONSTRAINT") != str(LOWEST), reason="about tox's environment `lowest`"
)
def test_the_lowest_versions_are_installed():
    assert {name: version(name) for name in lowest()} == lowest()


def test_every_supported_python_is_tested():
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(CHECKOUT / "tox.ini")
    environments = tox["tox"]["env_list"].replace(",", " ").split()
    tested = {name for name in environments if re.fullmatch(r"py\d+", name)}
    first = tox["testenv:full"]["base_python"].partition(",")[0]
    tested.add(first.replace("python", "py").replace(".", ""))
    prefix = "Programming Language :: Python :: 3."
    classifiers = metadata("sagemaker-inference").get_all("Classifier")
    supported = {
        "py3" + line.removeprefix(prefix) for line in classifiers if line.startswith(prefix)
    }
    assert tested == supported
