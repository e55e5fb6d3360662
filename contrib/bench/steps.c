/* The least that `create`, `start` and `delete` of a container can be: the namespaces, mounts and exec of runtime-bench's C program, in three processes with a FIFO between the first two.

   steps create DIR ROOTFS | steps start DIR | steps delete DIR: DIR is made by the first and removed by the last. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *hierarchies[] = {"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "unified", ""};
static const char *name;

static char *cgroup(int number) {
    static char path[300];
    snprintf(path, sizeof path, "/sys/fs/cgroup/%s/%s", hierarchies[number], name);
    return path;
}

static char *in(const char *dir, const char *file) {
    static char path[2][300];
    static int next;
    next = !next;
    snprintf(path[next], sizeof path[next], "%s/%s", dir, file);
    return path[next];
}

static void container(const char *root, int fifo, int ready) {
    mount(0, "/", 0, MS_REC | MS_PRIVATE, 0), mount(root, root, 0, MS_BIND | MS_REC, 0), chdir(root);
    mount("proc", "proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, 0), mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,size=65536k");
    mkdir("dev/pts", 0755), mkdir("dev/shm", 01777), mkdir("dev/mqueue", 0755);
    mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"), mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k");
    mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, 0), mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, 0);
    if (syscall(SYS_pivot_root, ".", ".")) _exit(9);
    umount2(".", MNT_DETACH), chdir("/");
    if (write(ready, "r", 1) != 1) _exit(9);
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fifo);
    int gate = open(path, O_WRONLY | O_CLOEXEC);
    if (gate < 0 || write(gate, "0", 1) != 1) _exit(9);
    execl("/bin/true", "true", (char *)0);
    _exit(8);
}

static int create(const char *dir, const char *root) {
    mkdir(dir, 0711), mkfifo(in(dir, "fifo"), 0600);
    for (int i = 0; i < 10; i++) mkdir(cgroup(i), 0755);
    int fifo = open(in(dir, "fifo"), O_PATH | O_CLOEXEC), pipes[2];
    if (pipe2(pipes, O_CLOEXEC)) return 1;
    struct clone_args args = {.exit_signal = SIGCHLD, .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP};
    pid_t pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) container(root, fifo, pipes[1]);
    close(pipes[1]);
    FILE *state = fopen(in(dir, "state"), "w");
    fprintf(state, "%d\n", pid), fclose(state);
    char byte;
    return read(pipes[0], &byte, 1) == 1 ? 0 : 1;
}

static int start(const char *dir) {
    int gate = open(in(dir, "fifo"), O_RDONLY | O_CLOEXEC);
    char byte;
    /* Its end is the exec. */
    while (read(gate, &byte, 1) == 1) {}
    return unlink(in(dir, "fifo"));
}

static int delete(const char *dir) {
    FILE *state = fopen(in(dir, "state"), "r");
    int pid = 0;
    if (!state || fscanf(state, "%d", &pid) != 1) return 1;
    fclose(state), kill(pid, SIGKILL);
    for (int i = 0; i < 10; i++) rmdir(cgroup(i));
    unlink(in(dir, "state"));
    return rmdir(dir);
}

int main(int count, char **words) {
    if (count < 3) return 2;
    name = strrchr(words[2], '/') + 1;
    return *words[1] == 'c' ? create(words[2], words[3]) : *words[1] == 's' ? start(words[2]) : delete(words[2]);
}
