"""The command line of the front end, for servers and for training runs alike.

Class data fits only a Java that is started in the same way as the one that it was made with: what
decides that is written down once.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._frontends.mms.java import Java

_MAIN_CLASS: Final = "sagemaker.inference.frontend.FrontEnd"
_LOG_CONFIGURATION: Final = Path(__file__).parents[2] / "etc" / "log4j2.xml"

# Java reads them by itself, and its command line overrides them.
_OPTION_VARIABLES: Final = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS")
# A flag of ours, and those by which a variable sets the same.
_MEMORY: Final = {
    "-Xmx": ("-Xmx", "-XX:MaxHeapSize", "-XX:MaxRAMPercentage"),
    "-XX:MaxDirectMemorySize": ("-XX:MaxDirectMemorySize",),
}


def front_end_command(java: Java, jars: str, configuration: Path, *arguments: str) -> list[str]:
    """What runs the front end.

    Args:
        java: the virtual machine.
        jars: the class path.
        configuration: the path of the front end's configuration; its folder is for temporary files.
        arguments: further arguments for the virtual machine, after ours.
    """
    return [
        java.path,
        *java.flags,
        "-Xms16m",
        *java.buffer_flags,
        # What nobody sees takes time at every start: management beans of the log, and the
        # address of a network card in the names of connections.
        "-Dlog4j2.disable.jmx=true",
        "-Dio.netty.machineId=00:00:00:00:00:00:00:01",
        # Netty takes its native library from the first jar, which may be the operator's, and would
        # refuse to start beside another release.
        "-Dio.netty.native.detectNativeLibraryDuplicates=false",
        f"-Djava.io.tmpdir={configuration.parent}",
        f"-Dlog4j.configurationFile={_LOG_CONFIGURATION.as_uri()}",
        *_without_what_is_set(arguments),
        "-cp",
        jars,
        _MAIN_CLASS,
        str(configuration),
    ]


def _without_what_is_set(arguments: Sequence[str]) -> list[str]:
    """The arguments without limits of memory that a variable of Java's sets.

    Only the first of a kind is left out, which is ours; the user's arguments follow.
    """
    given = " ".join(os.environ.get(name, "") for name in _OPTION_VARIABLES)
    kept = list(arguments)
    for flag, settings in _MEMORY.items():
        ours = next((word for word in kept if word.startswith(flag)), None)
        if ours is not None and any(setting in given for setting in settings):
            kept.remove(ours)
    return kept
