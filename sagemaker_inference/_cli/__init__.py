"""The commands of ``sagemaker-inference``, a module each; modules with an underscore are shared."""

from typing import Final

# What shells add to the number of the signal that has ended a process, for its exit code.
SIGNALLED: Final = 128
# So of SIGINT.
INTERRUPTED: Final = SIGNALLED + 2
