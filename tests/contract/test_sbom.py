"""What a wheel brings along is listed in it, for scanners."""

import importlib.util
import json
import re

from support.documents import ROOT

FOLDER = ROOT / "security"


def script():
    spec = importlib.util.spec_from_file_location("sbom", FOLDER / "sbom.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_list_is_what_is_installed():
    module = script()
    assert json.loads(module.FILE.read_text()) == module.document()


def test_every_part_of_the_jar_that_has_a_vulnerability_is_listed():
    [front_end] = [
        component
        for component in script().document()["components"]
        if component["name"] == "multi-model-server"
    ]
    listed = {part["purl"] for part in front_end["components"]}
    assert len(listed) > 30
    vulnerable = re.findall(r"pkg:maven/[^\"]+", (FOLDER / "vex.json").read_text())
    assert set(vulnerable) <= listed
