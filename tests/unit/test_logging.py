import json
import logging
import re

import pytest

from sagemaker_inference import _log as toolkit_logging
from sagemaker_inference._http.context import Context


@pytest.fixture
def bare_logger(monkeypatch):
    logger = toolkit_logging.get_logger()
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "parent", None)  # pytest listens at the root
    level = logger.level
    yield logger
    logger.setLevel(level)


@pytest.mark.parametrize(
    ("value", "level"),
    [
        ("", logging.INFO),
        ("10", logging.DEBUG),
        ("error", logging.ERROR),
        (" WARNING ", logging.WARNING),
        ("loud", logging.INFO),
        ("getLogger", logging.INFO),
        ("-1", logging.INFO),
    ],
)
def test_the_level_is_a_number_or_a_name(monkeypatch, value, level):
    monkeypatch.setenv("SAGEMAKER_CONTAINER_LOG_LEVEL", value)
    assert toolkit_logging.level() == level


def test_configuring_twice_gives_one_handler(bare_logger, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_CONTAINER_LOG_LEVEL", "30")
    toolkit_logging.configure_logger()
    toolkit_logging.configure_logger()
    assert len(bare_logger.handlers) == 1
    assert bare_logger.level == 30


def test_a_handler_that_is_there_is_left_alone(bare_logger):
    own = logging.NullHandler()
    bare_logger.addHandler(own)
    toolkit_logging.configure_logger()
    assert bare_logger.handlers == [own]


def test_lines_go_to_stderr(bare_logger, capsys):
    toolkit_logging.configure_logger()
    bare_logger.info("serving")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(" - sagemaker-inference - INFO - serving\n")


def test_a_handler_at_the_root_is_enough(bare_logger, monkeypatch):
    root = logging.getLogger()
    assert root.handlers
    monkeypatch.setattr(bare_logger, "parent", root)
    toolkit_logging.configure_logger()
    assert bare_logger.handlers == []


def test_everything_that_is_logged_goes_to_stderr(monkeypatch, capsys):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setenv("SAGEMAKER_CONTAINER_LOG_LEVEL", "ERROR")
    toolkit_logging.configure_root()
    logging.getLogger("a.users.own").error("lost")
    logging.getLogger("a.users.own").warning("quiet")
    assert capsys.readouterr().err.endswith(" - a.users.own - ERROR - lost\n")


def test_lines_are_json_where_asked(bare_logger, monkeypatch, capsys):
    monkeypatch.setenv("SAGEMAKER_LOG_FORMAT", " JSON ")
    toolkit_logging.configure_logger()
    bare_logger.info("serving %s", "iris")
    bare_logger.error("failed", exc_info=ZeroDivisionError("by zero"))
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first.pop("time"))
    assert first == {"level": "INFO", "logger": "sagemaker-inference", "message": "serving iris"}
    assert second["traceback"] == "ZeroDivisionError: by zero"


def test_the_last_word_is_a_message_with_the_cause(monkeypatch, capsys):
    toolkit_logging.last_word("no model")
    toolkit_logging.last_word("no model", ZeroDivisionError("by zero"))
    first = "sagemaker-inference: error: no model\n"
    assert capsys.readouterr().err == f"{first}{first}ZeroDivisionError: by zero\n"
    monkeypatch.setenv("SAGEMAKER_LOG_FORMAT", "json")
    toolkit_logging.last_word("100 % wrong", ZeroDivisionError("by zero"))
    found = json.loads(capsys.readouterr().err)
    assert (found["level"], found["message"]) == ("ERROR", "100 % wrong")
    assert found["traceback"] == "ZeroDivisionError: by zero\n"


class Text(str):
    """A header value whose length a user's method has to tell."""

    __slots__ = ()

    def __len__(self):
        raise ZeroDivisionError


def raised_below_ours(value):
    """An error that passed through this package's frames, from there on."""
    with pytest.raises((ZeroDivisionError, TypeError)) as caught:
        Context().custom_attributes = value
    error = caught.value
    return error.with_traceback(error.__traceback__.tb_next)


def test_a_traceback_begins_at_the_users_first_line():
    error = raised_below_ours(Text("x"))
    assert not toolkit_logging._is_ours(__file__)
    kind, same, trace = toolkit_logging.users_exc_info(error)
    assert (kind, same) == (ZeroDivisionError, error)
    assert error.__traceback__.tb_frame.f_code.co_filename != __file__
    assert trace.tb_frame.f_code.co_filename == __file__
    assert trace.tb_next is None


def test_a_traceback_without_a_users_line_is_kept_whole():
    error = raised_below_ours(None)
    assert toolkit_logging.users_exc_info(error)[2] is error.__traceback__ is not None


def test_an_error_that_was_never_raised_has_no_traceback():
    error = ValueError()
    assert toolkit_logging.users_exc_info(error) == (ValueError, error, None)


def test_an_error_that_was_never_raised_has_no_place():
    assert toolkit_logging.last_user_line(ValueError()) == ""


def test_an_unknown_level_is_logged(monkeypatch, caplog):
    toolkit_logging.warn_of_unknown_level()
    monkeypatch.setenv("SAGEMAKER_CONTAINER_LOG_LEVEL", "warning")
    toolkit_logging.warn_of_unknown_level()
    assert caplog.text == ""
    monkeypatch.setenv("SAGEMAKER_CONTAINER_LOG_LEVEL", "loud")
    toolkit_logging.warn_of_unknown_level()
    assert "SAGEMAKER_CONTAINER_LOG_LEVEL='loud' is not a log level" in caplog.text
