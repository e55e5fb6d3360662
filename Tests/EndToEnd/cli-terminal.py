#!/usr/bin/env python3
"""Runs interactive commands on a pseudo terminal with the stock docker client and with berth, against one engine.

    cli-terminal.py [HOST]      HOST such as unix:///run/peers/docker.sock (default: $DOCKER_HOST)

BERTH and DOCKER name the two programs, IMAGE an image with a shell (default busybox). Output on a terminal is not the same twice, so every scenario says what has to
appear; the exit status has to be the one it names, for both clients.
"""
import fcntl, os, pty, select, shutil, signal, struct, subprocess, sys, tempfile, termios, time

HOST = sys.argv[1] if len(sys.argv) > 1 else os.environ["DOCKER_HOST"]
HERE = os.path.dirname(os.path.realpath(__file__))
BERTH = os.path.realpath(os.environ.get("BERTH", f"{HERE}/../../bin/berth"))
DOCKER = os.path.realpath(os.environ.get("DOCKER", shutil.which("docker")))
IMAGE = os.environ.get("IMAGE", "busybox")
NAME = f"berth-test-{os.getpid()}-terminal"


def resize(rows, columns):
    def act(fd):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        time.sleep(0.3)
    return act


def on_terminal(program, arguments, script, timeout=20):
    """Plays `script`, pairs of (text to wait for or None, bytes to type or a function of the terminal); returns output and status."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(program, [program] + arguments, dict(os.environ, DOCKER_HOST=HOST))
    resize(30, 100)(fd)
    output, seen, steps, end = b"", 0, list(script), time.monotonic() + timeout
    while time.monotonic() < end:
        if select.select([fd], [], [], 0.1)[0]:
            try:
                data = os.read(fd, 65536)
            except OSError:
                data = b""
            if not data:
                break
            output += data
        while steps and (steps[0][0] is None or steps[0][0] in output[seen:]):
            wanted, action = steps.pop(0)
            seen = len(output)
            if callable(action):
                action(fd)
            elif action:
                time.sleep(0.1)
                os.write(fd, action)
            break
        else:
            continue
    else:
        os.kill(pid, signal.SIGKILL)
        output += b"<timed out>"
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    os.close(fd)
    return output, 128 - code if code < 0 else code


SCENARIOS = [
    # name, arguments, script, what has to appear, status
    ("size and resize", ["run", "--rm", "-it", IMAGE, "sh"],
     [(b"# ", b"stty size\n"), (b"30 100", resize(40, 120)), (None, b"stty size\n"), (b"40 120", b"exit 4\n")], [b"30 100", b"40 120"], 4),
    ("detach from run", ["run", "-it", "--name", NAME, IMAGE, "sh"], [(b"# ", b"\x10\x11")], [], 0),
    ("attach and detach", ["attach", NAME], [(None, b"\n"), (b"# ", b"echo a''t\n"), (b"at\r\n", b"\x10\x11")], [b"read escape sequence"], 1),
    ("keys of one's own", ["attach", "--detach-keys", "ctrl-a,d", NAME], [(None, b"\n"), (b"# ", b"\x01d")], [b"read escape sequence"], 1),
    ("exec", ["exec", "-it", NAME, "sh"], [(b"# ", b"tty; exit 3\n")], [b"/dev/pts/"], 3),
    ("detach from exec", ["exec", "-it", NAME, "sh"], [(b"# ", b"\x10\x11")], [b"read escape sequence"], 1),
    ("stop", ["stop", "-t", "0", NAME], [], [NAME.encode()], 0),
    ("start attached", ["start", "-ai", NAME], [(b"# ", b"exit 5\n")], [], 5),
    ("remove", ["rm", NAME], [], [NAME.encode()], 0),
    ("ctrl-c reaches the container", ["run", "--rm", IMAGE, "sh", "-c", "trap 'echo got; exit 9' INT; echo ready; while :; do sleep 0.1; done"],
     [(b"ready", b"\x03")], [b"got"], 9),
    ("ctrl-c in a terminal is a byte", ["run", "--rm", "-it", IMAGE, "sh", "-c", "trap 'echo got; exit 9' INT; echo ready; while :; do sleep 0.1; done"],
     [(b"ready", b"\x03")], [b"got"], 9),
    ("ctrl-d ends the shell", ["run", "--rm", "-it", IMAGE, "sh"], [(b"# ", b"\x04")], [], 0),
    ("no to a question", ["container", "prune"], [(b"[y/N] ", b"n\n")], [b"WARNING! This will remove all stopped containers."], 0),
    ("stats until ctrl-c", ["stats"], [(b"CPU %", b"\x03")], [b"\x1b[H", b"\x1b[J"], 130),
    ("events until ctrl-c", ["events"], [(None, lambda fd: time.sleep(0.5)), (None, b"\x03")], [], 130),
    ("save refuses a terminal", ["save", IMAGE], [], [b"cowardly refusing to save to a terminal"], 1),
]

failures = 0
with tempfile.TemporaryDirectory() as directory:
    as_docker = os.path.join(directory, "docker")
    os.symlink(BERTH, as_docker)
    os.environ["DOCKER_CONFIG"] = directory
    for program in (DOCKER, as_docker):
        who = "docker" if program == DOCKER else "berth"
        for name, arguments, script, wanted, status in SCENARIOS:
            output, code = on_terminal(program, arguments, script)
            missing = [text for text in wanted if text not in output]
            if code != status or missing:
                failures += 1
                print(f"FAILED  {who}: {name}: status {code}, expected {status}; missing {missing}\n  {output[-400:]!r}")
        subprocess.run([DOCKER, "-H", HOST, "rm", "-f", NAME], capture_output=True)
print(f"{len(SCENARIOS)} scenarios with each client, {failures} failed")
sys.exit(failures != 0)
