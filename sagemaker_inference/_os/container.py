"""Whether this process runs in a container."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

# Docker, Podman.
_FILES: Final = (Path("/.dockerenv"), Path("/run/.containerenv"))
# Kubernetes; Amazon ECS; Podman, LXC and systemd-nspawn.
_VARIABLES: Final = ("KUBERNETES_SERVICE_HOST", "ECS_CONTAINER_METADATA_URI_V4", "container")
_CGROUPS: Final = Path("/proc/self/cgroup")
_RUNTIMES: Final = re.compile(r"docker|containerd|kubepods|libpod|lxc|ecs|machine\.slice|buildkit")
# A machine's own init has processes below the root of the hierarchy; a container's are at the root.
_AT_ROOT: Final = re.compile(r"^(0::|\d+:name=systemd:)/$", re.MULTILINE)
_INIT: Final = 1


def is_container() -> bool:
    """Whether there are signs of a container, whose files are gone when it ends.

    It is better to see one where there is none than the other way round: what is not worth it in a
    container is not done then.
    """
    if os.getpid() == _INIT or any(name in os.environ for name in _VARIABLES):
        return True
    if any(path.exists() for path in _FILES):
        return True
    try:
        cgroups = _CGROUPS.read_text()
    except OSError:
        return True
    return bool(_RUNTIMES.search(cgroups) or _AT_ROOT.search(cgroups))
