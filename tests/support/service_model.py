"""The excerpt of botocore's service model that the emulator ships.

``python tests/support/service_model.py`` writes it anew.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import botocore
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

FILE: Final = Path(__file__).parents[2] / "sagemaker_inference" / "_emulator" / "shapes.json"
OPERATIONS: Final = (
    "AddTags",
    "CreateEndpoint",
    "CreateEndpointConfig",
    "CreateModel",
    "CreateTransformJob",
    "DeleteEndpoint",
    "DeleteEndpointConfig",
    "DeleteModel",
    "DeleteTags",
    "DescribeEndpoint",
    "DescribeEndpointConfig",
    "DescribeModel",
    "DescribeTransformJob",
    "ListEndpointConfigs",
    "ListEndpoints",
    "ListModels",
    "ListTags",
    "ListTransformJobs",
    "StopTransformJob",
    "UpdateEndpoint",
    "UpdateEndpointWeightsAndCapacities",
)
_CONSTRAINTS: Final = ("enum", "max", "min", "pattern", "required")
# Lists that are longer have a value more every few weeks: instances, languages.
_MOST_VALUES: Final = 16


def problems(operation: str, answer: dict[str, Any]) -> str:
    """What is wrong with the answer of an operation, as it is sent; "" if nothing is."""
    model = ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")
    shape = model.operation_model(operation).output_shape
    if shape is None:
        return str(answer or "")
    unknown = set(answer) - set(shape.members)
    report = ParamValidator().validate(answer, shape).generate_report()
    return f"unknown: {sorted(unknown)}" if unknown else str(report)


def excerpt() -> dict[str, Any]:
    """The shapes of the inputs of the operations, as the installed botocore has them."""
    model = Loader().load_service_model("sagemaker", "service-2")
    shapes: dict[str, dict[str, Any]] = {}

    def add(name: str) -> str:
        if name not in shapes:
            shapes[name] = {}
            shapes[name] |= _trimmed(model["shapes"][name], add)
        return name

    operations = {name: add(model["operations"][name]["input"]["shape"]) for name in OPERATIONS}
    return {"operations": operations, "shapes": dict(sorted(shapes.items()))}


def _trimmed(shape: dict[str, Any], add: Any) -> dict[str, Any]:
    kept = {name: shape[name] for name in ("type", *_CONSTRAINTS) if name in shape}
    if len(kept.get("enum", ())) > _MOST_VALUES:
        del kept["enum"]
    if "pattern" in kept and not _is_python(kept["pattern"]):
        del kept["pattern"]
    if "members" in shape:
        kept["members"] = {name: add(one["shape"]) for name, one in shape["members"].items()}
    for name in ("member", "key", "value"):
        if name in shape:
            kept[name] = add(shape[name]["shape"])
    return kept


def _is_python(pattern: str) -> bool:
    r"""Whether Python reads a pattern, which is Java's: it has no \p{L}."""
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _text() -> str:
    found = excerpt()
    shapes = ",\n    ".join(
        f"{json.dumps(name)}: {json.dumps(shape)}" for name, shape in found["shapes"].items()
    )
    source = f"botocore {botocore.__version__}, service model sagemaker (Apache-2.0)"
    operations = json.dumps(found["operations"], indent=2).replace("\n", "\n  ")
    return (
        f'{{\n  "source": {json.dumps(source)},\n  "operations": {operations},\n'
        f'  "shapes": {{\n    {shapes}\n  }}\n}}\n'
    )


if __name__ == "__main__":
    FILE.write_text(_text())
