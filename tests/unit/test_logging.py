import json
import logging
import logging.config
import re
import sys

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


def test_lines_are_json_where_asked(bare_logger, monkeypatch, capsys):
    monkeypatch.setenv("SAGEMAKER_LOG_FORMAT", " JSON ")
    toolkit_logging.configure_logger()
    bare_logger.info("serving %s", "iris")
    bare_logger.error("failed", exc_info=ZeroDivisionError("by zero"))
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
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


@pytest.fixture
def configure(monkeypatch):
    """Make the root logger that of a fresh worker; within the test, where pytest listens there."""
    root = logging.getLogger()

    def configure():
        root.handlers.clear()  # pytest adds its own again for the next phase
        monkeypatch.setattr(root, "level", root.level)
        monkeypatch.setattr(logging, "basicConfig", logging.basicConfig)
        toolkit_logging.configure_root()
        root.manager._clear_cache()
        return root

    yield configure
    for handler in root.handlers[:]:
        if not type(handler).__module__.startswith("_pytest"):
            root.removeHandler(handler)
    root.manager._clear_cache()


def test_everything_that_is_logged_goes_to_stderr(configure, monkeypatch, capsys):
    monkeypatch.setenv("SAGEMAKER_CONTAINER_LOG_LEVEL", "ERROR")
    configure()
    logging.getLogger("a.users.own").error("lost")
    logging.getLogger("a.users.own").warning("quiet")
    assert capsys.readouterr().err.endswith(" - a.users.own - ERROR - lost\n")


def test_basic_config_of_a_program_overrides_the_default(configure, capsys):
    configure()
    logging.basicConfig(level=logging.DEBUG, format="MYAPP|%(message)s")
    logging.getLogger("mine").debug("hello")
    assert capsys.readouterr().err == "MYAPP|hello\n"


def test_a_basic_config_that_fails_keeps_the_default(configure, capsys):
    configure()
    with pytest.raises(ValueError, match="should not be specified together"):
        logging.basicConfig(stream=sys.stderr, filename="log")
    logging.getLogger("mine").warning("hello")
    assert capsys.readouterr().err.endswith(" - mine - WARNING - hello\n")


def test_functions_of_logging_use_the_default(configure, capsys):
    configure()
    logging.info("hello")  # noqa: LOG015 - what programs do
    assert capsys.readouterr().err.endswith(" - root - INFO - hello\n")


def test_a_programs_own_handler_does_not_double_lines(configure, capsys, monkeypatch):
    configure()
    own = logging.getLogger("own.handler")
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    monkeypatch.setattr(own, "handlers", [logging.NullHandler(), handler])
    own.warning("once")
    own.info("below the level of the handler")
    once, below = capsys.readouterr().err.splitlines()
    assert once == "once"
    assert below.endswith(" - own.handler - INFO - below the level of the handler")


def test_a_handler_that_does_not_write_to_the_console_leaves_the_default(
    configure, capsys, monkeypatch, tmp_path
):
    root = configure()
    file = logging.FileHandler(tmp_path / "log")
    root.addHandler(file)
    logging.getLogger("mine").warning("hello")
    file.close()
    assert capsys.readouterr().err.endswith("hello\n")
    assert (tmp_path / "log").read_text() == "hello\n"


class Broken(logging.Handler):
    def emit(self, record):
        raise OSError(record)


def silence(logger, how):
    if how == "dictConfig":
        logging.config.dictConfig({"version": 1})
    elif how == "disable":
        logging.disable(logging.CRITICAL)
    elif how == "level":
        logger.setLevel(logging.CRITICAL)
    elif how == "propagate":
        logger.propagate = False
    elif how == "handler":
        logger.addHandler(Broken())
    else:
        logging.getLogger().handlers.clear()


@pytest.mark.parametrize(
    "how", ["dictConfig", "disable", "level", "propagate", "handler", "no handlers"]
)
def test_errors_of_this_package_are_never_silenced(configure, monkeypatch, capsys, how):
    root = configure()
    logger = toolkit_logging.get_logger()
    for name in ("disabled", "level", "propagate", "handlers"):
        value = getattr(logger, name)
        monkeypatch.setattr(logger, name, list(value) if name == "handlers" else value)
    others = [item for item in root.manager.loggerDict.values() if isinstance(item, logging.Logger)]
    before = {item: item.disabled for item in others}
    try:
        silence(logger, how)
        logger.error("request 1 failed", exc_info=ZeroDivisionError("by zero"))
        logger.debug("a detail")
    finally:
        logging.disable(logging.NOTSET)
        for item, disabled in before.items():
            item.disabled = disabled
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith(" - sagemaker-inference - ERROR - request 1 failed")
    assert lines[1:] == ["ZeroDivisionError: by zero"]


def test_the_containers_level_silences_errors(configure, monkeypatch, capsys):
    configure()
    monkeypatch.setenv("SAGEMAKER_CONTAINER_LOG_LEVEL", "CRITICAL")
    monkeypatch.setattr(toolkit_logging.get_logger(), "disabled", True)
    toolkit_logging.get_logger().error("hidden")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("as_json", [False, True])
def test_lines_name_the_request_they_belong_to(configure, monkeypatch, capsys, as_json):
    root = configure()
    formatter = toolkit_logging._JsonLines() if as_json else root.handlers[0].formatter
    root.handlers[0].setFormatter(formatter)
    token = toolkit_logging.current_request.set("id-7")
    logging.getLogger("mine").warning("slow")
    logging.getLogger("mine").warning("request id-7 is slow")
    toolkit_logging.current_request.reset(token)
    logging.getLogger("mine").warning("between requests")
    inside, named, outside = capsys.readouterr().err.splitlines()
    if as_json:
        ids = [json.loads(line).get("request_id") for line in (inside, named, outside)]
        assert ids == ["id-7", "id-7", None]
    else:
        assert inside.endswith(" - slow id=id-7")
        assert named.endswith(" - request id-7 is slow")
        assert outside.endswith(" - between requests")


def test_a_programs_own_format_can_have_the_id(monkeypatch, capsys):
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("[%(request_id)s] %(message)s"))
    handler.addFilter(toolkit_logging.RequestIdFilter())
    logger = logging.getLogger("own.format")
    monkeypatch.setattr(logger, "handlers", [handler])
    token = toolkit_logging.current_request.set("id-7")
    logger.warning("slow")
    logger.warning("own", extra={"request_id": "mine"})
    toolkit_logging.current_request.reset(token)
    assert capsys.readouterr().err == "[id-7] slow\n[mine] own\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (1.9999, "1970-01-01T00:00:01.999Z")],
)
def test_times_are_iso_8601_to_milliseconds(seconds, text):
    assert toolkit_logging.timestamp(seconds) == text


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


def test_errors_reach_handlers_that_are_not_the_console_too(configure, monkeypatch, capsys, caplog):
    configure().handlers.clear()
    logger = toolkit_logging.get_logger()
    heard = []
    elsewhere = logging.Handler()
    elsewhere.emit = heard.append
    monkeypatch.setattr(logger, "handlers", [elsewhere])
    logger.error("failed")
    assert [record.getMessage() for record in heard] == ["failed"]
    assert capsys.readouterr().err.endswith(" - ERROR - failed\n")


def test_what_a_programs_handler_raises_on_a_lesser_line_is_the_programs(configure, monkeypatch):
    configure()
    logger = toolkit_logging.get_logger()
    monkeypatch.setattr(logger, "handlers", [Broken()])
    with pytest.raises(OSError, match="slow"):
        logger.warning("slow")


def test_the_stack_that_a_program_asks_for_is_in_its_json_line(configure, capsys):
    root = configure()
    root.handlers[0].setFormatter(toolkit_logging._JsonLines())
    mine = logging.getLogger("mine")
    mine.warning("where", stack_info=True)
    mine.warning("why", stack_info=True, exc_info=ZeroDivisionError("by zero"))
    where, why = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert where["traceback"].startswith("Stack (most recent call last):\n")
    error, stack = why["traceback"].split("\n", 1)
    assert error == "ZeroDivisionError: by zero"
    assert stack.startswith("Stack (most recent call last):\n")
