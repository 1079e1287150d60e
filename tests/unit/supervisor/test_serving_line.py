"""The line that says what is served."""

from support.builders import settings

from sagemaker_inference._ipc.messages import Report
from sagemaker_inference._supervisor.supervisor import _line_of_one


def test_a_default_predictor_is_named_in_the_line():
    served = settings(handler_service="service", model_dir="/m", port=8080, workers=2)
    line = _line_of_one(served, Report("loaded", predictor="predict of the model (Model)"))
    assert "; requests go to predict of the model (Model); reads " in line
    assert "requests go to" not in _line_of_one(served, Report("loaded"))
