import subprocess
import sys

from mms.context import Context

from sagemaker_inference.default_handler_service import DefaultHandlerService
from sagemaker_inference.transformer import Transformer


class Recorder(Transformer):
    """Says what it was asked."""

    def validate_and_initialize(self, model_dir="", context=None):
        self.asked = model_dir, context

    def transform(self, data, context):
        return [data, context]


def test_it_asks_its_transformer():
    recorder = Recorder()
    service = DefaultHandlerService(recorder)
    context = Context("model", "/m", None, 1, None, "1")
    service.initialize(context)
    assert recorder.asked == ("/m", context)
    assert service.handle("data", context) == ["data", context]


def test_without_a_transformer_it_serves_the_users_program():
    assert type(DefaultHandlerService()._service) is Transformer


def test_a_load_that_fails_ends_the_process_with_the_users_traceback(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_text(
        "from sagemaker_inference import *\n"
        "@model_loader\n"
        "def load(): raise OSError('no weights')\n"
        "@predictor\n"
        "def predict(data): ...\n"
    )
    code = (
        "import sys\n"
        "from mms.model_loader import ModelLoaderFactory\n"
        "name = 'sagemaker_inference.default_handler_service'\n"
        "loader = ModelLoaderFactory.get_model_loader(sys.argv[1])\n"
        "loader.load('model', sys.argv[1], name, None, 1)\n"
        "print('still there')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.endswith("OSError: no weights\n")
    assert 'inference.py", line 3, in load' in done.stderr
