import fcntl
import os
import socket
from pathlib import Path

import pytest

from sagemaker_inference._os import output, standard_streams
from sagemaker_inference._os.event_loop import EventLoop
from sagemaker_inference._os.output import LogStream, Output, Outputs


@pytest.fixture
def loop():
    made = EventLoop()
    yield made
    made.close()


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(reader, False)
    yield reader, writer
    for fd in (reader, writer):
        os.close(fd)


def read_all(fd):
    data = b""
    while True:
        try:
            piece = os.read(fd, 1 << 16)
        except BlockingIOError:
            return data
        if not piece:
            return data
        data += piece


LINE = b"x" * 99 + b"\n"


@pytest.mark.once
@pytest.mark.parametrize("is_others", [False, True])
def test_what_does_not_fit_waits_for_the_reader(pipe, loop, monkeypatch, is_others):
    reader, writer = pipe
    if is_others:  # a pipe of another user cannot be opened again
        real = os.open
        monkeypatch.setattr(
            os,
            "open",
            lambda path, *rest, **more: real(
                "/nowhere" if "/proc" in str(path) else path, *rest, **more
            ),
        )
    log = Output(writer, loop)
    for _ in range(200):
        log.write(LINE)
    assert 0 < log.waiting < 20_000
    assert os.get_blocking(writer)
    data = b""
    while log.waiting:
        data += read_all(reader)
        loop.turn()
    data += read_all(reader)
    assert data == LINE * 200
    log.close()


def test_what_does_not_fit_in_memory_is_lost_and_counted_but_last_words_are_not(pipe, monkeypatch):
    monkeypatch.setattr(output, "MOST_WAITING", 1000)
    reader, writer = pipe
    log = Output(writer)
    stream = LogStream(log)
    while not log.waiting:
        log.write(LINE)
    for _ in range(20):
        log.write(LINE)
    stream.write("how it ended\n")
    assert log.waiting > 1000
    data = b""
    while log.waiting:
        data += read_all(reader)
        stream.flush()
    data += read_all(reader)
    assert b"how it ended\n" in data
    kept = data.count(LINE)
    assert data.endswith(b"lines of the log were lost: nobody read it in time\n")
    lost = int(data.rsplit(b" lines", 1)[0].rsplit(b" ", 1)[1])
    assert lost > 0
    assert kept + lost >= 60
    log.close()


def test_a_reader_that_comes_back_is_told_what_was_lost(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    log = Output(writer)
    os.close(reader)
    for _ in range(3):
        log.write(LINE)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log.write(b"back\n")
    assert read_all(reader) == (
        b"back\nsagemaker-inference: 3 lines of the log were lost: nobody read it in time\n"
    )
    log.close()
    os.close(reader)
    os.close(writer)


def test_sockets_files_and_closed_descriptors(tmp_path):
    ours, theirs = socket.socketpair()
    log = Output(theirs.fileno())
    for _ in range(20_000):
        log.write(LINE)
    assert log.waiting
    assert ours.recv(100) == LINE
    log.close(0.05)
    ours.close()
    theirs.close()
    path = tmp_path / "log"
    with path.open("wb") as file:
        log = Output(file.fileno())
        log.write(LINE)
        log.close()
    assert path.read_bytes() == LINE
    fd = os.open(os.devnull, os.O_WRONLY)
    os.close(fd)
    log = Output(fd)
    log.write(LINE)
    assert not log.waiting
    log.close()


def test_a_file_that_never_has_room_is_not_waited_for(tmp_path):
    with (tmp_path / "log").open("wb") as file:
        log = Output(file.fileno())
        log._descriptor.write = lambda _data: (_ for _ in ()).throw(BlockingIOError)
        log.write(LINE)
        log.close(0.1)


def test_the_stream_of_a_handler_knows_its_descriptor(pipe):
    log = Output(pipe[1])
    stream = LogStream(log)
    assert stream.fileno() == pipe[1]
    assert not stream.isatty()
    log.close()


def test_access_lines_come_through_a_pipe_that_never_blocks(pipe, loop):
    reader, writer = pipe
    outputs = Outputs(loop, writer, writer)
    os.write(outputs.access_fd, b"one\ntw")
    loop.turn()
    assert read_all(reader) == b"one\n"
    os.write(outputs.access_fd, b"o\n")
    data = b""
    while not data:
        loop.turn()
        data = read_all(reader)
    assert data == b"two\n"
    os.write(outputs.access_fd, LINE * 20_000)
    with pytest.raises(BlockingIOError):
        os.write(outputs.access_fd, LINE)
    outputs.close(0.05)
    # A look that was to come finds it closed.
    for _ in range(3):
        loop.after(0.02, lambda: None)
        loop.turn()


def test_a_large_pipe_may_be_refused(loop, monkeypatch):
    def refuse(*_arguments):
        raise PermissionError

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    outputs = Outputs(loop, 1, 2)
    outputs.close()


def test_closed_streams_are_opened_on_nothing():
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.close(0)
            os.close(1)
            standard_streams.ensure_open()
            null = Path(os.devnull).stat().st_rdev
            code = int(not all(os.fstat(fd).st_rdev == null for fd in (0, 1)))
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def test_buffers_are_flushed_as_far_as_anybody_reads(monkeypatch):
    class Broken:
        def flush(self):
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", Broken())
    standard_streams.flush()


def test_more_access_lines_than_one_read_takes_are_passed_on(loop, tmp_path, monkeypatch):
    monkeypatch.setattr(output, "_READ_SIZE", 100)
    with (tmp_path / "log").open("wb") as file:
        outputs = Outputs(loop, file.fileno(), file.fileno())
        lines = LINE * 20 + b"x" * 150 + b"\n"
        os.write(outputs.access_fd, lines)
        while (tmp_path / "log").stat().st_size < len(lines):
            loop.turn()
        outputs.close()
    assert (tmp_path / "log").read_bytes() == lines
