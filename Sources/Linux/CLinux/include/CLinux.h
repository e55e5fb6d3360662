/// Kernel headers that Swift's Glibc module does not carry, and one-line wrappers where a call is variadic, a macro or has no libc function.
/// No feature macros here: redefining _GNU_SOURCE would make types differ from Swift's own Glibc module.
#ifndef BERTH_CLINUX_H
#define BERTH_CLINUX_H

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static inline int berth_openat2(int dir, const char *path, struct open_how *how) { return (int)syscall(SYS_openat2, dir, path, how, sizeof *how); }
static inline int berth_setns(int fd, int kind) { return (int)syscall(SYS_setns, fd, kind); }
static inline int berth_pidfd_open(pid_t pid, unsigned flags) { return (int)syscall(SYS_pidfd_open, pid, flags); }

#endif
