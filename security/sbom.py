"""Write sbom.cdx.json: what a wheel of this package brings along (``python security/sbom.py``).

CycloneDX, which scanners read. The wheel carries it, in its folder for such lists. It names no
versions of Python packages, which pip chooses, but those of the Java libraries: they are in the jar
of Multi Model Server, whose version is pinned and where scanners find some of them only.
"""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zipfile import ZipFile

import mms

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE: Final = Path(__file__).with_name("sbom.cdx.json")
_NAME: Final = "sagemaker-inference"
_FRONT_END: Final = "multi-model-server"
_JAR: Final = Path(mms.__file__).with_name("frontend") / "model-server.jar"
# One for each library of Netty, under the same name.
_NETTY: Final = "META-INF/io.netty.versions.properties"
_NETTY_LINE: Final = re.compile(r"^(netty-[\w-]+)\.version=(.+)$", re.MULTILINE)
# The jar does not say their versions; these are known from their classes, and vex.json has them.
_OTHERS: Final = (
    "com.google.code.gson/gson",
    "com.lmax/disruptor",
    "commons-cli/commons-cli",
    "commons-io/commons-io@2.6",
    "org.apache.logging.log4j/log4j-api@2.17.1",
    "org.apache.logging.log4j/log4j-core@2.17.1",
    "org.apache.logging.log4j/log4j-slf4j-impl@2.17.1",
    "org.slf4j/slf4j-api",
)


def document() -> dict[str, Any]:
    """The list, for the versions that are installed."""
    component = {
        "type": "library",
        "bom-ref": _NAME,
        "name": _NAME,
        "version": metadata.version(_NAME),
        "purl": f"pkg:pypi/{_NAME}@{metadata.version(_NAME)}",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    required = [line for line in metadata.requires(_NAME) or () if "extra ==" not in line]
    names = sorted(re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in required)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": component},
        "components": [_package(name) for name in names],
        "dependencies": [{"ref": _NAME, "dependsOn": [f"pkg:pypi/{name}" for name in names]}],
    }


def _package(name: str) -> dict[str, Any]:
    package = {"type": "library", "bom-ref": f"pkg:pypi/{name}", "name": name}
    if name != _FRONT_END:
        return {**package, "purl": f"pkg:pypi/{name}"}
    version = metadata.version(name)
    return {
        **package,
        "version": version,
        "purl": f"pkg:pypi/{name}@{version}",
        "components": [_of_java(purl) for purl in sorted({*_netty(), *_OTHERS})],
    }


def _netty() -> Iterator[str]:
    with ZipFile(_JAR) as jar:
        for entry in jar.infolist():
            if entry.filename == _NETTY:
                for name, version in _NETTY_LINE.findall(jar.read(entry).decode()):
                    yield f"io.netty/{name}@{version}"


def _of_java(coordinates: str) -> dict[str, Any]:
    group, _, rest = coordinates.partition("/")
    name, _, version = rest.partition("@")
    return {
        "type": "library",
        "group": group,
        "name": name,
        **({"version": version} if version else {}),
        "purl": f"pkg:maven/{coordinates}",
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(document(), indent=2) + "\n")
