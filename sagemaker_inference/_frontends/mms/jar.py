"""The jars of the front end: ours, those of the operator, and Multi Model Server's."""

from __future__ import annotations

import importlib.util
import re
import zipfile
from pathlib import Path
from typing import Final

from sagemaker_inference import _variables
from sagemaker_inference._errors import StartError

# Our part of the front end; its sources are in java/, where README.md says how it is made.
OUR_JAR: Final = Path(__file__).parents[2] / "etc" / "frontend.jar"
_NETTY: Final = "META-INF/io.netty.versions.properties"


def class_path() -> str:
    """The jars that the front end consists of, each before those that it stands in for.

    Raises:
        StartError: Multi Model Server is not installed, or where Java cannot find it, or a jar of
            SAGEMAKER_INFERENCE_CLASSPATH is not there.
    """
    jars = str(OUR_JAR), find_jar()
    if ":" in "".join(jars):
        message = f"Java reads no path with a colon: {' and '.join(jars)}. Install this elsewhere."
        raise StartError(message)
    return ":".join((jars[0], *_operators_jars(), jars[1]))


def _operators_jars() -> list[str]:
    found: list[str] = []
    for entry in filter(None, _variables.CLASSPATH.read().split(":")):
        path = Path(entry)
        jars = sorted(path.parent.glob("*.jar")) if path.name == "*" else [path]
        if not jars or not all(map(Path.is_file, jars)):
            message = f"{_variables.CLASSPATH.name} names {entry}, and there is no such jar."
            raise StartError(message)
        found += map(str, jars)
    return found


def find_jar() -> str:
    """Multi Model Server's jar, in the installed package multi-model-server.

    Raises:
        StartError: it is not installed.
    """
    spec = importlib.util.find_spec("mms")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        jar = Path(folder, "frontend", "model-server.jar")
        if jar.is_file():
            return str(jar)
    message = "multi-model-server is not installed. Run: pip install multi-model-server"
    raise StartError(message)


def netty_version() -> str:
    """The release of Netty that the front end runs on: the first on its class path.

    Raises:
        StartError: as `class_path`; or a jar cannot be read, or none contains Netty.
    """
    path = class_path()
    for jar in path.split(":"):
        try:
            with zipfile.ZipFile(jar) as archive:
                text = archive.read(_NETTY).decode() if _NETTY in archive.namelist() else ""
        except (OSError, zipfile.BadZipFile) as error:
            message = f"{jar} cannot be read: {error}"
            raise StartError(message) from None
        if found := re.search(r"^netty-[\w-]+\.version=(\S+)", text, re.MULTILINE):
            return found[1]
    message = f"no jar contains {_NETTY}: {path}"
    raise StartError(message)
