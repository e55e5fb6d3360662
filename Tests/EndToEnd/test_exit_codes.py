"""The exit code of `run` is the process's own, or says which layer failed."""
from conftest import IMAGE


def test_the_code_of_the_process_is_the_code_of_run(cli):
    assert cli.run("run", "--rm", IMAGE, "sh", "-c", "exit 7").returncode == 7


def test_a_program_that_does_not_exist_gives_127(cli):
    error = cli.fails("run", "--rm", IMAGE, "no-such-program", code=127)
    assert 'OCI runtime create failed: berth-runtime create failed: unable to start container process: error during container init: exec: "no-such-program": executable file not found in $PATH' in error


def test_a_file_that_cannot_be_executed_gives_126(cli):
    error = cli.fails("run", "--rm", IMAGE, "/etc/passwd", code=126)
    assert "permission denied" in error


def test_an_engine_error_gives_125(cli):
    error = cli.fails("run", "--rm", "--memory", "1", IMAGE, "true", code=125)
    assert "Minimum memory limit allowed is 6MB" in error


def test_an_unknown_image_gives_125(cli):
    cli.fails("run", "--rm", "--pull", "never", "nosuchimage", "true", code=125)


def test_a_killed_process_gives_128_plus_the_signal(cli, name):
    cli.ok("run", "-d", "--name", name, IMAGE, "sleep", "1000")
    cli.ok("kill", "-s", "KILL", name)
    assert cli.ok("wait", name) == "137"


def test_the_memory_limit_kills_with_137_and_says_so(cli, name):
    r = cli.run("run", "--name", name, "--memory", "16m", "--memory-swap", "16m", IMAGE, "sh", "-c", "tail /dev/zero")
    assert r.returncode == 137
    assert cli.inspect(name)["State"]["OOMKilled"] is True


def test_wait_prints_the_code_of_a_container_that_has_ended(cli, name):
    cli.run("run", "--name", name, IMAGE, "sh", "-c", "exit 42")
    assert cli.ok("wait", name) == "42"
