"""What children of a worker inherit; each case in a process of its own, which may fork."""

import os
import subprocess
import sys
import textwrap

import pytest

COMMON = """
import os, signal, socket, sys, threading
from sagemaker_inference._ipc import slots
from sagemaker_inference._worker.children import Inheritance

slots.reserve(range(slots.count()))
ours, theirs = socket.socketpair()
inheritance = Inheritance([ours.fileno()])
inheritance.begin()

def child(work):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def kill_myself():
    os.kill(os.getpid(), signal.SIGTERM)
    os._exit(7)

def stop_myself():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        signal.sigtimedwait([], 0)
    except KeyboardInterrupt:
        os._exit(9)
"""


def run(source):
    # Python 3.12 and later warn of what a program may do all the same: fork from a thread.
    no_warnings = "-Wignore::DeprecationWarning"
    result = subprocess.run(
        [sys.executable, no_warnings, "-c", COMMON + textwrap.dedent(source)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ,
    )
    assert result.stderr == ""
    return result.stdout.split()


def test_a_worker_ignores_the_signals_and_its_child_does_not():
    source = """
        os.kill(os.getpid(), signal.SIGTERM); os.kill(os.getpid(), signal.SIGINT)
        print(child(kill_myself), child(stop_myself), signal.pthread_sigmask(0, []) == set())
    """
    assert run(source) == ["-15", "9", "True"]


def test_a_signal_that_comes_before_the_child_has_its_dispositions_is_kept():
    """Sent by the child to itself, by a hook that runs before ours, in the worker's disposition."""
    source = """
        early = lambda: os.kill(os.getpid(), signal.SIGTERM)
        # Hooks in the child run in the order of registration: this one has to come first.
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        inheritance._before_fork()
        early()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        print("pending", flush=True)
        inheritance._restore_mask()
        print("survived")
    """
    assert run(source) == ["pending"]


def test_a_child_forked_by_a_thread_can_be_ended():
    source = """
        codes = []
        thread = threading.Thread(target=lambda: codes.append(child(kill_myself)))
        thread.start(); thread.join()
        print(codes[0])
    """
    assert run(source) == ["-15"]


def test_a_grandchild_and_a_pool_can_be_ended():
    source = """
        import multiprocessing
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(pool.map(abs, [-1]))
        print(child(lambda: os._exit(-child(kill_myself))))
    """
    assert run(source) == ["[1]", "15"]


def test_a_handler_of_the_program_is_inherited():
    source = """
        signal.signal(signal.SIGTERM, lambda *_: os._exit(5))
        print(child(kill_myself))
    """
    assert run(source) == ["5"]


def test_a_signal_that_was_ignored_before_the_worker_is_ignored_in_its_child():
    source = """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        inheritance.ignore_signals()
        print(child(kill_myself))
    """
    assert run(source) == ["7"]


@pytest.mark.parametrize("is_copy", [False, True])
def test_descriptors_are_a_copys_but_not_a_childs(is_copy):
    source = f"""
        os.dup2(theirs.fileno(), slots.FIRST_FD)
        def look():
            null = os.stat(os.devnull).st_rdev
            fds = (ours.fileno(), slots.FIRST_FD)
            print([os.fstat(fd).st_rdev == null for fd in fds], flush=True)
        if {is_copy}:
            with inheritance.copying():
                child(look)
        else:
            child(look)
    """
    assert run(source) == (["[False,", "False]"] if is_copy else ["[True,", "True]"])


def test_a_copy_is_a_worker_whose_children_inherit_nothing():
    source = """
        def copy():
            inheritance.take_over([theirs.fileno()])
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(-child(kill_myself))
        with inheritance.copying():
            print(child(copy))
    """
    assert run(source) == ["15"]


def test_what_a_child_opens_is_its_own():
    """A grandchild keeps what the child has opened in place of descriptors it has closed."""
    source = """
        def open_files():
            fd = ours.detach()
            os.close(fd)
            assert os.open("/proc/self/stat", os.O_RDONLY) == fd
            os._exit(-child(lambda: os._exit(os.read(fd, 1) != str(os.getppid())[:1].encode())))
        print(child(open_files))
    """
    assert run(source) == ["0"]
