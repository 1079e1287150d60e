"""What is installed: files besides modules, and versions that are tested."""

import configparser
import re
from importlib.metadata import metadata, requires
from pathlib import Path

import pytest

import sagemaker_inference

ROOT = Path(sagemaker_inference.__file__).parent
CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["py.typed", "etc/log4j2.xml", "etc/frontend.jar"])
def test_a_file_that_is_no_module_is_installed(name):
    assert (ROOT / name).is_file()


def test_the_lowest_versions_are_those_that_are_tested():
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(CHECKOUT / "tox.ini")
    tested = dict(line.split("==") for line in tox["testenv:lowest"]["deps"].split())
    allowed = {}
    for line in requires("sagemaker-inference"):
        if "extra ==" not in line:
            name = re.match(r"[\w.-]+", line)[0]
            allowed[name] = re.search(r">=([\d.]+)", line)[1]
    assert {name: version.removesuffix(".0") for name, version in tested.items()} == allowed


def test_every_supported_python_is_tested():
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(CHECKOUT / "tox.ini")
    environments = tox["tox"]["env_list"].replace(",", " ").split()
    tested = {name for name in environments if re.fullmatch(r"py\d+", name)}
    prefix = "Programming Language :: Python :: 3."
    classifiers = metadata("sagemaker-inference").get_all("Classifier")
    supported = {
        "py3" + line.removeprefix(prefix) for line in classifiers if line.startswith(prefix)
    }
    assert tested == supported
