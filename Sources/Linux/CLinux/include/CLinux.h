/// Kernel headers that Swift's Glibc module does not carry, and one-line wrappers where a call is variadic, a macro or has no libc function.
/// No feature macros here: redefining _GNU_SOURCE would make types differ from Swift's own Glibc module.
#ifndef BERTH_CLINUX_H
#define BERTH_CLINUX_H

// Swift's own Glibc module first: its types (stat, timespec, mode_t) then are that module's for every importer. Without this both modules define them, and
// which of the two Swift takes for the owner changes with unrelated lines of this file.
#if defined(__swift__)
#pragma clang module import SwiftGlibc
#endif

#include <elf.h>
#include <fcntl.h>
#include <malloc.h>
#include "CLinuxIO.h"
#include <linux/close_range.h>
#include <linux/magic.h>
#include <linux/mempolicy.h>
#include <linux/if_link.h>
#include <linux/openat2.h>
#include <linux/rtnetlink.h>
#include <linux/prctl.h>
#include <linux/sched.h>
// glibc's <sched.h> defines the same structure.
#define sched_param berth_kernel_sched_param
#include <linux/sched/types.h>
#undef sched_param
#include <poll.h>
#include <sys/auxv.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "CgroupCalls.h"
#include "LayerCalls.h"
#include "SpawnCalls.h"
#include "SeccompCalls.h"
#include "VolumeCalls.h"

static inline int berth_openat2(int dir, const char *path, struct open_how *how) { return (int)syscall(SYS_openat2, dir, path, how, sizeof *how); }
static inline int berth_exchange(const char *one, const char *other) { return (int)syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, other, 2 /* RENAME_EXCHANGE */); }
static inline int berth_rename_new(const char *from, const char *to) { return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 1 /* RENAME_NOREPLACE */); }
static inline int berth_setns(int fd, int kind) { return (int)syscall(SYS_setns, fd, kind); }
static inline int berth_unshare(int flags) { return (int)syscall(SYS_unshare, flags); }
static inline int berth_pidfd_open(pid_t pid, unsigned flags) { return (int)syscall(SYS_pidfd_open, pid, flags); }
static inline int berth_pidfd_send_signal(int fd, int signal) { return (int)syscall(SYS_pidfd_send_signal, fd, signal, 0, 0); }

/// clone3(2) as fork: the child goes on with a copy of the caller's stack. Nothing of libc's fork handlers runs: for programs with one thread only.
static inline pid_t berth_clone3(struct clone_args *args) { return (pid_t)syscall(SYS_clone3, args, sizeof *args); }
static inline int berth_execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags) { return (int)syscall(SYS_execveat, dir, path, argv, envp, flags); }
static inline int berth_close_range(unsigned first, unsigned last, unsigned flags) { return (int)syscall(SYS_close_range, first, last, flags); }
static inline int berth_pivot_root(const char *new_root, const char *put_old) { return (int)syscall(SYS_pivot_root, new_root, put_old); }
static inline int berth_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d) { return (int)syscall(SYS_prctl, option, a, b, c, d); }
static inline void *berth_mremap_over(void *from, size_t length, void *to) { return (void *)syscall(SYS_mremap, from, length, length, 1 | 2 /* MREMAP_MAYMOVE | MREMAP_FIXED */, to); }

static inline int berth_open_tree(int dir, const char *path, unsigned flags) { return (int)syscall(SYS_open_tree, dir, path, flags); }
static inline int berth_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned flags) { return (int)syscall(SYS_move_mount, from, from_path, to, to_path, flags); }
static inline int berth_fsopen(const char *type, unsigned flags) { return (int)syscall(SYS_fsopen, type, flags); }
static inline int berth_fspick(int dir, const char *path, unsigned flags) { return (int)syscall(SYS_fspick, dir, path, flags); }
static inline int berth_fsconfig(int fd, unsigned command, const char *key, const void *value, int aux) { return (int)syscall(SYS_fsconfig, fd, command, key, value, aux); }
static inline int berth_fsmount(int fd, unsigned flags, unsigned attributes) { return (int)syscall(SYS_fsmount, fd, flags, attributes); }

/// `struct mount_attr` under a name of our own: libc's and the kernel's headers both define it, not always alike.
struct berth_mount_attr { unsigned long long attr_set, attr_clr, propagation, userns_fd; };
static inline int berth_mount_setattr(int dir, const char *path, unsigned flags, struct berth_mount_attr *attr) { return (int)syscall(SYS_mount_setattr, dir, path, flags, attr, sizeof *attr); }

static inline int berth_setgroups(size_t count, const gid_t *groups) { return (int)syscall(SYS_setgroups, count, groups); }
static inline int berth_setresuid(uid_t id) { return (int)syscall(SYS_setresuid, id, id, id); }
static inline int berth_setresgid(gid_t id) { return (int)syscall(SYS_setresgid, id, id, id); }
static inline int berth_ioprio_set(int which, int who, int value) { return (int)syscall(SYS_ioprio_set, which, who, value); }
static inline int berth_set_mempolicy(int mode, const unsigned long *nodes, unsigned long bits) { return (int)syscall(SYS_set_mempolicy, mode, nodes, bits); }
static inline int berth_sched_setattr(struct sched_attr *attr) { return (int)syscall(SYS_sched_setattr, 0, attr, 0); }
static inline int berth_prlimit(pid_t pid, int resource, const struct rlimit *limit) { return (int)syscall(SYS_prlimit64, pid, resource, limit, 0); }
static inline int berth_capset(void *header, const void *data) { return (int)syscall(SYS_capset, header, data); }
static inline int berth_capget(void *header, void *data) { return (int)syscall(SYS_capget, header, data); }
static inline int berth_sched_setaffinity(const void *mask, size_t bytes) { return (int)syscall(SYS_sched_setaffinity, 0, bytes, mask); }
static inline long berth_keyctl(int command, unsigned long a, unsigned long b, unsigned long c) { return syscall(SYS_keyctl, command, a, b, c); }
static inline int berth_seccomp(unsigned operation, unsigned flags, void *args) { return (int)syscall(SYS_seccomp, operation, flags, args); }

static inline int berth_ioctl(int fd, unsigned long request, void *argument) { return (int)syscall(SYS_ioctl, fd, request, argument); }
static inline int berth_ioctl_int(int fd, unsigned long request, unsigned long argument) { return (int)syscall(SYS_ioctl, fd, request, argument); }

/// `struct ifreq` as SIOCSIFFLAGS reads it.
struct berth_ifreq { char name[16]; short flags; char rest[22]; };

static inline unsigned berth_major(dev_t device) { return major(device); }
static inline unsigned berth_minor(dev_t device) { return minor(device); }
static inline dev_t berth_makedev(unsigned a, unsigned b) { return makedev(a, b); }

static inline int berth_exited(int status) { return WIFEXITED(status); }
static inline int berth_exit_status(int status) { return WEXITSTATUS(status); }
static inline int berth_term_signal(int status) { return WTERMSIG(status); }

/// The one control message of `message`, room for `count` descriptors in it. The caller owns `control`, at least CMSG_SPACE(count * 4) bytes.
static inline size_t berth_rights_space(size_t count) { return CMSG_SPACE(count * sizeof(int)); }
static inline void berth_rights_put(struct msghdr *message, const int *fds, size_t count) {
  struct cmsghdr *head = CMSG_FIRSTHDR(message);
  head->cmsg_level = SOL_SOCKET; head->cmsg_type = SCM_RIGHTS; head->cmsg_len = CMSG_LEN(count * sizeof(int));
  __builtin_memcpy(CMSG_DATA(head), fds, count * sizeof(int));
}
/// Copies the descriptors a received message carries, at most `room`; returns how many there are.
static inline size_t berth_rights_get(struct msghdr *message, int *fds, size_t room) {
  size_t count = 0;
  for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    size_t here = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < here; i++) { int fd; __builtin_memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof fd); if (count < room) fds[count++] = fd; else close(fd); }
  }
  return count;
}

#endif
