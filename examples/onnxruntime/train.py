"""Write the model that inference.py serves: that of the example iris, in ONNX.

Usage: python examples/onnxruntime/train.py [MODEL_DIR], by default the folder "model" beside this
file. Models of PyTorch are written by torch.onnx.export, and those of scikit-learn by skl2onnx.
"""
# ruff: noqa: T201 - the output of the script

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
IRIS = HERE.parent / "iris" / "model" / "iris.npz"


def main(model_dir):
    """Write model.onnx: a matrix product, a sum and a softmax."""
    with np.load(IRIS) as weights:
        coefficients, intercepts = (weights[name].astype(np.float32) for name in weights.files)
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["lengths", "coefficients", "intercepts"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        ],
        "iris",
        [helper.make_tensor_value_info("lengths", TensorProto.FLOAT, ["rows", 4])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 3])],
        [
            numpy_helper.from_array(coefficients, "coefficients"),
            numpy_helper.from_array(intercepts, "intercepts"),
        ],
    )
    # An old version of the operators and the format, which old runtimes read too.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    model_dir.mkdir(parents=True, exist_ok=True)
    onnx.save(model, model_dir / "model.onnx")
    print(f"wrote {model_dir / 'model.onnx'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "model")
