/// Loading a filter. The same rules as in CLinux.h.
#ifndef BERTH_SECCOMP_CALLS_H
#define BERTH_SECCOMP_CALLS_H

#include <errno.h>
#include <linux/filter.h>
#include <sys/syscall.h>
#include <unistd.h>

/// seccomp(SECCOMP_SET_MODE_FILTER). `instructions` are `struct sock_filter`.
static inline int berth_load_filter(const unsigned long long *instructions, unsigned short count, unsigned flags) {
  struct sock_fprog program = { count, (struct sock_filter *)instructions };
  return (int)syscall(SYS_seccomp, 1 /* SECCOMP_SET_MODE_FILTER */, flags, &program);
}

/// Whether the kernel knows an action (SECCOMP_GET_ACTION_AVAIL).
static inline int berth_seccomp_has_action(unsigned action) { return syscall(SYS_seccomp, 2, 0, &action) == 0; }

/// errno after offering filter flags with a null program: EFAULT for flags the kernel knows, EINVAL for others.
static inline int berth_seccomp_flags_errno(unsigned flags) { return syscall(SYS_seccomp, 1, flags, 0) == -1 ? errno : 0; }

#endif
