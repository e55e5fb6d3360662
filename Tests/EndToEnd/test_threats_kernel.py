"""Privileges and kernel surface of a default container. The letters name the classes of docs/threat-model.md."""
import pytest

from conftest import IMAGE

# Docker's default: chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod audit_write setfcap
DEFAULT = "00000000a80425fb"
NONE = "0000000000000000"


def sets(text):
    return dict(line.split(":\t") for line in text.splitlines() if line.startswith("Cap"))


@pytest.mark.parametrize("way", ["run", "exec"])
@pytest.mark.parametrize("flags, permitted, bounding", [([], DEFAULT, DEFAULT), (["-u", "1000:1000"], NONE, DEFAULT)])
def test_i_capability_sets_are_dockers_and_nothing_is_inheritable(docker, name, way, flags, permitted, bounding):
    if way == "run":
        out = docker.ok("run", "--rm", *flags, IMAGE, "cat", "/proc/self/status")
    else:
        docker.ok("run", "-d", "--name", name, IMAGE, "sleep", "100")
        out = docker.ok("exec", *flags, name, "cat", "/proc/self/status")
    assert sets(out) == {"CapInh": NONE, "CapPrm": permitted, "CapEff": permitted, "CapBnd": bounding, "CapAmb": NONE}


def test_i_groups_are_those_of_the_user_and_no_others(docker):
    assert docker.ok("run", "--rm", IMAGE, "id", "-G").split() == ["0"] or "10" in docker.ok("run", "--rm", IMAGE, "id", "-G").split()
    assert docker.ok("run", "--rm", "-u", "1000:1001", "--group-add", "55", IMAGE, "id", "-G").split() == ["1001", "55"]


def test_i_no_new_privileges_is_set_on_request(docker):
    out = docker.ok("run", "--rm", "--security-opt", "no-new-privileges", IMAGE, "cat", "/proc/self/status")
    assert "NoNewPrivs:\t1" in out


@pytest.mark.parametrize("program, name", [
    ("import socket; socket.socket(38, socket.SOCK_SEQPACKET)", "AF_ALG"),
    ("import ctypes; l=ctypes.CDLL(None,use_errno=True); r=l.syscall(425,1,0); import os; assert r>=0, os.strerror(ctypes.get_errno())", "io_uring_setup"),
    ("import ctypes; l=ctypes.CDLL(None,use_errno=True); r=l.syscall(248,0,0,0,0,0); import os; assert ctypes.get_errno()!=1, 'EPERM'", "add_key"),
    ("import ctypes; l=ctypes.CDLL(None,use_errno=True); r=l.syscall(321,0,0,0); import os; assert ctypes.get_errno()!=1, 'EPERM'", "bpf"),
])
def test_p_calls_that_broke_kernels_are_refused(docker, program, name):
    """Run with the host's python, whose files are bind mounted read-only."""
    r = docker.run("run", "--rm", "-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro", "--entrypoint", "/usr/bin/python3", IMAGE, "-c", program)
    assert r.returncode == 1 and ("Error" in r.stderr), (r.returncode, r.stderr)


def test_p_paths_that_leak_the_host_are_masked(docker):
    script = "for p in /sys/class/powercap /sys/devices/virtual/powercap /sys/firmware /proc/acpi /proc/scsi; do ls -A $p 2>/dev/null; done; cat /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/sched_debug 2>/dev/null | head -c 1 | wc -c"
    out = docker.ok("run", "--rm", IMAGE, "sh", "-c", script).split()
    assert out[-1] == "0"


def test_p_release_agent_and_kernel_settings_cannot_be_written(docker):
    script = "for f in /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/release_agent /proc/sys/kernel/core_pattern /proc/sysrq-trigger /sys/kernel/uevent_helper; do (echo x >$f) 2>/dev/null && echo wrote $f; done; echo end"
    assert docker.ok("run", "--rm", IMAGE, "sh", "-c", script) == "end"


@pytest.mark.parametrize("sysctl", ["kernel.core_pattern=|/x", "kernel.shm_rmid_forced=1\nkernel.core_pattern=x", "net/ipv4/ip_forward=1", "vm.overcommit_memory=1", "net.ipv4.ip_forward=1+kernel.x=2"])
def test_g_only_namespaced_settings_are_taken(docker, sysctl):
    before = open("/proc/sys/kernel/core_pattern").read()
    docker.run("run", "--rm", "--sysctl", sysctl, IMAGE, "true")
    assert open("/proc/sys/kernel/core_pattern").read() == before


def test_m_a_container_on_an_ipv4_network_has_no_ipv6(docker):
    out = docker.ok("run", "--rm", IMAGE, "sh", "-c", "cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6 /proc/sys/net/ipv6/conf/eth0/accept_ra 2>/dev/null || echo 1 0").split()
    assert out[0] == "1"


def test_m_an_internal_network_has_no_way_out(docker, name):
    docker.ok("network", "create", "--internal", name)
    out = docker.ok("run", "--rm", "--network", name, IMAGE, "sh", "-c", "ip route | grep -c default; wget -T 1 -q -O- http://192.0.2.1/ && echo out; true")
    assert out.split() == ["0"]
