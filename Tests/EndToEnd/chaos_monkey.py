"""Kills, stops and cuts what is above the containers, at random and repeatably."""
import ctypes
import os
import random
import signal
import socket
import time

from engine import alive, wait_for

_libc = ctypes.CDLL(None, use_errno=True)
_PIDFD_OPEN, _PIDFD_GETFD = 434, 438


def sockets(pid):
    """Duplicates of the connected unix sockets of a process: (own name, peer's name, socket). The caller closes them."""
    pidfd = _libc.syscall(_PIDFD_OPEN, pid, 0)
    if pidfd < 0:
        return
    try:
        for number in os.listdir(f"/proc/{pid}/fd"):
            try:
                if not os.readlink(f"/proc/{pid}/fd/{number}").startswith("socket:"):
                    continue
            except OSError:
                continue
            copy = _libc.syscall(_PIDFD_GETFD, pidfd, int(number), 0)
            if copy < 0:
                continue
            with socket.socket(fileno=copy) as s:
                try:
                    names = s.getsockname(), s.getpeername()
                except OSError:
                    continue
                yield *(n.decode() if isinstance(n, bytes) else str(n) for n in names), s
    finally:
        os.close(pidfd)


class Monkey:
    def __init__(self, engine, seed, shims, journal):
        self.engine, self.random, self.shims, self.journal = engine, random.Random(f"{seed} monkey"), shims, journal
        self.done = {}
        self.actions = [
            (3, self.kill_berthd), (1, self.end_berthd), (3, self.kill_supervisor), (1, self.end_supervisor), (2, self.kill_both),
            (2, self.stop_berthd), (3, self.stop_supervisor), (4, self.stop_shim), (4, self.cut_shim), (3, self.cut_events)]

    def act(self):
        action = self.random.choices([a for _, a in self.actions], [w for w, _ in self.actions])[0]
        name = action.__name__
        self.done[name] = self.done.get(name, 0) + 1
        self.journal.note(f"{name} …")
        action()
        self.journal.note(f"{name} done")
        time.sleep(self.random.random() * 0.15)

    # What is waited for is drawn before anything happens: the sequence does not depend on how long things take.

    def pause(self, longest):
        return self.random.random() * longest

    def kill_berthd(self):
        pause = self.pause(0.3)
        self.engine.kill("berthd")
        time.sleep(pause)
        self.engine.start(40)

    def end_berthd(self):
        self.engine.process.terminate()
        self.engine.process.wait(30)
        self.engine.start(40)

    def kill_both(self):
        pause = self.pause(0.3)
        self.engine.kill("berthd")
        # Asked to end by the last action, it may be between two lives.
        try:
            pid = self.engine.supervisor_pid()
            os.kill(pid, signal.SIGKILL)
            wait_for(f"the end of {pid}", lambda: not alive(pid))
        except (OSError, ValueError):
            pass
        time.sleep(pause)
        self.engine.start(40)

    def supervisor(self):
        """Its pid, once there is one: the last one may have been killed a moment ago."""
        def living():
            try:
                pid = self.engine.supervisor_pid()
                return pid if alive(pid) else None
            except (OSError, ValueError):
                return None
        return wait_for("a supervisor", living, 30)

    def kill_supervisor(self):
        self.signal_supervisor(signal.SIGKILL)

    def end_supervisor(self):
        self.signal_supervisor(signal.SIGTERM)

    def signal_supervisor(self, number):
        try:
            os.kill(self.supervisor(), number)
        except ProcessLookupError:  # ended between the look and the signal, as it was told to a moment ago
            pass

    def freeze(self, pid, seconds):
        try:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass

    def stop_berthd(self):
        self.freeze(self.engine.berthd_pid(), self.pause(0.4))

    def stop_supervisor(self):
        self.freeze(self.supervisor(), self.pause(0.6))

    def stop_shim(self):
        pause = self.pause(0.6)
        self.freeze(self.random.choice(self.shims), pause)

    def cut(self, pid, wanted):
        for own, peer, s in sockets(pid):
            if wanted(own, peer):
                s.shutdown(socket.SHUT_RDWR)

    def cut_shim(self):
        """The supervisor's connection to a shim breaks."""
        self.cut(self.random.choice(self.shims), lambda own, peer: own.endswith("shim.sock"))

    def cut_events(self):
        """A shim's connection for its events breaks."""
        self.cut(self.random.choice(self.shims), lambda own, peer: peer.endswith(".ttrpc"))
