"""Code that hides from a process what only Linux has, or what Windows does not have."""

# Before anything looks at them: what macOS does not have, or must not be used to fork; and files of
# /proc, and modules, that neither macOS nor Windows has both of.
HIDE = """
import ctypes, os, select, selectors, signal, socket, sys
import zoneinfo  # it asks for which system this Python was built
sys.platform = "darwin"
missing = {
    os: "copy_file_range eventfd fork memfd_create pidfd_open pipe2 posix_fadvise posix_fallocate "
    "register_at_fork sched_getaffinity sched_setaffinity setns splice unshare waitid",
    select: "epoll",
    signal: "pthread_sigmask sigtimedwait sigwaitinfo SIGPOLL SIGPWR SIGRTMIN SIGRTMAX SIGSTKFLT",
    socket: "SO_PEERCRED SOCK_CLOEXEC SOCK_NONBLOCK TCP_KEEPIDLE TCP_QUICKACK TCP_USER_TIMEOUT",
}
for name in vars(select):
    missing[select] += f" {name}" if name.startswith("EPOLL") else ""
for module, names in missing.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
selectors.DefaultSelector = selectors.PollSelector
look_up = ctypes.CDLL.__getattr__
def find(library, name):
    if name == "prctl":
        raise AttributeError(f"dlsym(RTLD_DEFAULT, {name}): symbol not found")
    return look_up(library, name)
ctypes.CDLL.__getattr__ = find
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None  # an import fails
def forbid(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and str(arguments[0]).startswith("/proc"):
        raise FileNotFoundError(2, "No such file or directory", arguments[0])
sys.addaudithook(forbid)
"""
# What Windows has none of, which Python itself uses here while it runs: for imports alone.
HIDE_MORE = """
import asyncio, click, multiprocessing.shared_memory, numpy, subprocess, tempfile
missing = {
    os: "chown fchmod fchown getegid geteuid getgid getpgid getuid killpg lchown mkfifo nice "
    "posix_spawn pread pwrite sched_yield sendfile set_blocking setpgid setsid statvfs sysconf "
    "wait wait3 wait4 O_NOFOLLOW O_NONBLOCK O_DIRECTORY",
    select: "poll POLLIN POLLOUT POLLERR POLLHUP POLLPRI",
    signal: "SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1 "
    "alarm setitimer pthread_kill sigwait",
    socket: "AF_UNIX CMSG_LEN CMSG_SPACE SCM_RIGHTS SO_REUSEPORT SOCK_SEQPACKET send_fds recv_fds",
}
sys.platform = "win32"
for module, names in missing.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
"""
