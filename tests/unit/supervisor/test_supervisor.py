import subprocess
import sys

LEFT = """
import os
from sagemaker_inference._supervisor import supervisor

pid = os.fork()
if not pid:
    os._exit(0)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
supervisor._reap_strangers()
try:
    os.waitpid(pid, 0)
except ChildProcessError:
    print("reaped")
"""


def test_what_others_left_behind_is_reaped():
    done = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, text=True, check=True)
    assert done.stdout == "reaped\n"
