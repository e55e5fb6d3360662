"""More workers: containers whose state changes by request, and short ones with known exit codes."""
import time

from chaos_api import Gone
from chaos_work import IDLE, Worker


class Healthy(Worker):
    """A probe that the engine could not carry out is not the container's fault."""

    def config(self):
        return self.container(IDLE, Healthcheck={"Test": ["CMD", "true"], "Interval": 200_000_000, "Timeout": 5_000_000_000, "Retries": 2})

    def step(self):
        status, answer = self.api.call("GET", f"/containers/{self.label}/json")
        if status == 200:
            health = answer["State"]["Health"]
            self.expect(health["Status"] != "unhealthy", f"unhealthy: {health['Log'][-2:]}")
        time.sleep(0.2)

    def check(self):
        deadline = time.monotonic() + 10
        while self.api.inspect(self.label)["State"]["Health"]["Status"] != "healthy":
            if time.monotonic() > deadline:
                return self.wrong.append("not healthy again within 10 s")
            time.sleep(0.1)


class Cycled(Worker):
    """A change of state that was answered with success has happened, and stays."""
    survives = False
    # The answer to a stop was lost: its signal may be on the way, to a process that is paused too, and end this life at any time.
    may_end = False

    def config(self):
        return self.container(IDLE)

    def step(self):
        state = self.api.inspect(self.label)["State"]
        if state["Paused"]:
            verb, wanted = "unpause", {"Running": True, "Paused": False}
        elif state["Running"]:
            verb, wanted = self.random.choice([("stop?t=5", {"Running": False}), ("pause", {"Paused": True}), ("kill", {"Running": False}), ("restart?t=5", {"Running": True})])
        else:
            verb, wanted = "start", {"Running": True, "Paused": False}
        could_end = self.may_end
        self.may_end = could_end or verb not in ("start", "pause", "unpause")
        status, answer = self.api.call("POST", f"/containers/{self.label}/{verb}")
        if status == 204:
            state = self.api.inspect(self.label)["State"]
            if verb not in ("pause", "unpause"):
                self.may_end = could_end = False
            self.expect(could_end and not state["Running"] or all(state[k] == v for k, v in wanted.items()), f"after {verb} answered {status}: {state}")
        elif status not in (304, 409):
            raise Gone(f"{verb}: {status} {answer}")
        time.sleep(self.random.random() * 0.3)

    def check(self):
        """Whatever happened, the container can be used again."""
        if self.api.inspect(self.label)["State"]["Paused"]:
            self.api.insist("POST", f"/containers/{self.label}/unpause", accept=(204, 409))
        self.api.insist("POST", f"/containers/{self.label}/restart?t=5", accept=(204,))
        self.expect(self.api.inspect(self.label)["State"]["Running"], "does not run after a restart")


class Keeping(Worker):
    """A record that was made is there, one that was removed is not."""
    survives = False

    def __init__(self, *args):
        super().__init__(*args)
        self.number, self.ledger = 0, {}

    def set_up(self):
        pass

    def step(self):
        self.number += 1
        name = f"{self.label}-{self.number}"
        status, answer = self.api.call("POST", "/volumes/create", {"Name": name, "Labels": {"number": str(self.number)}})
        if status == 201:
            self.ledger[name] = True
        if self.ledger and self.random.random() < 0.5:
            name = self.random.choice(sorted(self.ledger))
            was = self.ledger.pop(name)
            status, answer = self.api.call("DELETE", f"/volumes/{name}")
            if status == 204:
                self.ledger[name] = False
            self.expect(status != 404 or not was, f"volume {name} is gone")
        time.sleep(self.random.random() * 0.1)

    def check(self):
        for name, kept in self.ledger.items():
            status, _ = self.api.insist("GET", f"/volumes/{name}", accept=(200, 404))
            self.expect((status == 200) == kept, f"volume {name} is {'gone' if kept else 'there'}")


class Ending(Worker):
    """Container after container: what was created is there, ends with the code it was made to end with, and is gone once removed."""
    survives = False

    def __init__(self, *args):
        super().__init__(*args)
        self.number = 0

    def set_up(self):
        pass

    def step(self):
        self.number += 1
        code, name = self.random.randrange(1, 120), f"{self.label}-{self.number}"
        pause = self.random.choice([0, 0, 100_000, 500_000, 1_500_000])
        try:
            self.life(name, code, pause)
        finally:
            # Whatever became of it, it goes; a container whose creation was not answered may be there or not.
            self.api.insist("DELETE", f"/containers/{name}?force=1", accept=(204, 404))
            self.expect(self.api.inspect(name) is None, f"{name} is there after its removal was answered")

    def life(self, name, code, pause):
        status, answer = self.api.call("POST", f"/containers/create?name={name}", self.container(f"usleep {pause}; echo said {code}; exit {code}"))
        if status != 201:
            raise Gone(f"create: {status} {answer}")
        self.expect(self.api.inspect(name) is not None, f"{name} was created and is not there")
        status, answer = self.api.call("POST", f"/containers/{name}/start")
        if status != 204:
            raise Gone(f"start: {status} {answer}")
        deadline = time.monotonic() + 30
        while (state := self.api.inspect(name)["State"])["Status"] != "exited":
            if time.monotonic() > deadline:
                return self.wrong.append(f"{name} does not end: {state}")
            time.sleep(0.05)
        self.expect(state["ExitCode"] == code, f"{name} should have ended with {code}: {state}")
        out, _ = self.api.logs(name)
        if out != [f"said {code}"]:
            # The file as it is, for it goes with the container; and whether it is only late.
            with open(self.api.inspect(name)["LogPath"], "rb") as file:
                self.expect(False, f"{name} should have said {code}, and said {out}; its log holds {file.read()!r}, a second look shows {self.api.logs(name)}")

    def check(self):
        pass
