"""The functions that AWS's PyTorch image has, for those that a script does not define."""

from pathlib import Path

import torch

from sagemaker_inference import content_types, decoder
from sagemaker_inference.default_inference_handler import DefaultInferenceHandler

# Each worker sees one GPU, its own.
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class PyTorchHandler(DefaultInferenceHandler):
    """TorchScript from model.pt, and tensors in and out."""

    def default_model_fn(self, model_dir):
        path = Path(model_dir, "model.pt")
        if not path.is_file():
            files = [file for file in Path(model_dir).iterdir() if file.suffix in (".pt", ".pth")]
            if len(files) != 1:
                message = f"Name it model.pt: {model_dir} has {len(files)} .pt and .pth files."
                raise FileNotFoundError(message)
            (path,) = files
        try:
            return torch.jit.load(path, map_location=DEVICE).eval()
        except RuntimeError as error:
            message = (
                f"{path} is not TorchScript, which alone is loaded without a script. For what "
                "torch.save has written, add code/inference.py with model_fn(model_dir)."
            )
            raise ValueError(message) from error

    def default_input_fn(self, body, content_type):
        data = torch.as_tensor(decoder.decode(body, content_type), device=DEVICE)
        # JSON and CSV do not tell integers from floats.
        is_text = content_type.partition(";")[0] in content_types.UTF8_TYPES
        return data.float() if is_text else data

    def default_predict_fn(self, data, model):
        with torch.no_grad():
            return model.to(DEVICE).eval()(data)

    def default_output_fn(self, prediction, accept):
        if torch.is_tensor(prediction):
            prediction = prediction.detach().cpu().numpy()
        return super().default_output_fn(prediction, accept)
