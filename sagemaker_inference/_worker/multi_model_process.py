"""The program of a process that the front end starts for a model it is told to load.

It asks the supervisor for its assignment and is that model's first model process from then on.
"""

from __future__ import annotations

import array
import json
import os
import socket
from typing import Final

from sagemaker_inference._frontends.mms.launcher import LINK_ENV
from sagemaker_inference._ipc.messages import Assignment
from sagemaker_inference._os.child_process import die_with_parent
from sagemaker_inference._worker import main as worker

_LONGEST_MESSAGE: Final = 65536
_MOST_FDS: Final = 16


def main(argv: list[str]) -> int:
    """Run the process; returns its exit code.

    Args:
        argv: the arguments that the front end gives to its back end, as pairs from the second on.
    """
    options = dict(zip(argv[1::2], argv[2::2], strict=False))
    # A group of its own, as the supervisor gives to those that it starts.
    os.setsid()
    die_with_parent()
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link.connect(os.environ[LINK_ENV])
    message = {
        "name": options["--model-name"],
        "path": options["--model-path"],
        "handler": options["--handler"],
        "pid": os.getpid(),
    }
    link.send(json.dumps(message).encode())
    data, received, _, _ = socket.recv_fds(
        link, _LONGEST_MESSAGE, _MOST_FDS, socket.MSG_CMSG_CLOEXEC
    )
    if not data:  # the supervisor has no use for it
        return 0
    *own, out, err = array.array("i", received)
    # Its end tells the supervisor that this process has ended: no child may keep it open.
    os.register_at_fork(after_in_child=link.close)
    # The front end believes that its back end is gone when this pipe is closed.
    kept = os.dup(1)
    for fd, target in ((out, 1), (err, 2)):
        os.dup2(fd, target)
        os.close(fd)
    assignment, gpu = json.loads(data)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    try:
        return worker.run(Assignment.read(assignment).with_fds(own))
    finally:
        os.close(kept)
