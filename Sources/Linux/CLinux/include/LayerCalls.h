/// What unpacking layers needs beyond Swift's Glibc module: constants hidden behind _GNU_SOURCE, extended attributes, writing out.
#ifndef BERTH_LAYER_CALLS_H
#define BERTH_LAYER_CALLS_H

#include <linux/fs.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { BERTH_O_PATH = 010000000, BERTH_O_NOATIME = 01000000 };

static inline int berth_syncfs(int fd) { return (int)syscall(SYS_syncfs, fd); }
/// SYNC_FILE_RANGE_WRITE: starts to write out, does not wait.
static inline int berth_start_writeback(int fd, long long offset, long long count) { return (int)syscall(SYS_sync_file_range, fd, offset, count, 2); }

#endif
