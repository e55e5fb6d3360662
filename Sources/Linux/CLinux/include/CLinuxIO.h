/// Events, pipes, sockets and the starting of programs: what berth-shim's loop needs beyond Swift's Glibc module. The same rules as in CLinux.h.
#ifndef BERTH_CLINUX_IO_H
#define BERTH_CLINUX_IO_H

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

// fcntl(2), linux/memfd.h and spawn.h hide these without _GNU_SOURCE.
enum { BERTH_F_SETPIPE_SZ = 1031, BERTH_F_GETPIPE_SZ = 1032, BERTH_MFD_CLOEXEC = 1, BERTH_POSIX_SPAWN_SETSID = 0x80 };
/// With an untyped pointer, since <spawn.h> would bring a `struct sched_param` that the kernel's headers define as well.
extern int posix_spawn_file_actions_addchdir_np(void *actions, const char *path);
extern int malloc_trim(size_t);

/// Swift hides fork(2); a shim becomes a server in a child of the program that was asked to start it, with one thread in both.
static inline pid_t berth_fork(void) { return fork(); }
static inline int berth_pipe2(int fds[2], int flags) { return (int)syscall(SYS_pipe2, fds, flags); }
static inline int berth_accept4(int fd, int flags) { return (int)syscall(SYS_accept4, fd, 0, 0, flags); }
static inline int berth_memfd_create(const char *name, unsigned flags) { return (int)syscall(SYS_memfd_create, name, flags); }

/// Linux's `struct ucred`, hidden likewise.
struct berth_ucred { pid_t pid; uid_t uid; gid_t gid; };
static inline int berth_peer_credentials(int fd, struct berth_ucred *who) { socklen_t size = sizeof *who; return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, who, &size); }

/// Fills in a unix address; its length, or 0 when the path does not fit into 107 bytes.
static inline socklen_t berth_unix_address(struct sockaddr_un *address, const char *path) {
  size_t length = strlen(path);
  if (length >= sizeof address->sun_path) return 0;
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path, length);
  return (socklen_t)(sizeof address->sun_family + length + 1);
}

/// Receives one message that carries exactly one descriptor: that descriptor with close-on-exec, -1 with errno, or -2 when it carried none.
static inline int berth_receive_fd(int socket) {
  char name[4096];
  union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
  struct iovec part = { name, sizeof name };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes };
  ssize_t count = recvmsg(socket, &message, 0x40000000 /* MSG_CMSG_CLOEXEC */);
  if (count < 0) return -1;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(int))) return -2;
  int fd;
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

#endif
