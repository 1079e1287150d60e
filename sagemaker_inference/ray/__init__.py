"""Programs on Ray: replicas over machines, graphs of programs, predictions for data sets.

>>> from sagemaker_inference.ray import deployment, run
>>> handle = run(deployment("inference.py", num_replicas=2))  # doctest: +SKIP

It needs the extra ``ray``, and Ray is imported when something is called.
"""

from __future__ import annotations

from sagemaker_inference.ray._batches import map_batches
from sagemaker_inference.ray._deployment import app, deployment, run
from sagemaker_inference.ray._values import RequestError

__all__ = ["RequestError", "app", "deployment", "map_batches", "run"]
