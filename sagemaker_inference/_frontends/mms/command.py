"""The command line of the front end, for servers and for training runs alike.

Class data fits only a Java that is started in the same way as the one that it was made with: what
decides that is written down once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sagemaker_inference._frontends.mms.java import Java

_MAIN_CLASS: Final = "sagemaker.inference.frontend.FrontEnd"
_LOG_CONFIGURATION: Final = Path(__file__).parents[2] / "etc" / "log4j2.xml"


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
        f"-Djava.io.tmpdir={configuration.parent}",
        f"-Dlog4j.configurationFile={_LOG_CONFIGURATION.as_uri()}",
        *arguments,
        "-cp",
        jars,
        _MAIN_CLASS,
        str(configuration),
    ]
