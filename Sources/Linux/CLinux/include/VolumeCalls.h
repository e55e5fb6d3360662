/// Copies by reference, subvolumes of btrfs, and project quotas: ioctls and calls that libc has no functions for. What they need of the kernel's headers
/// stays in VolumeCalls.c.
#ifndef BERTH_VOLUME_CALLS_H
#define BERTH_VOLUME_CALLS_H

#include <stdint.h>
#include <sys/types.h>

/// Makes `to` share the bytes of `from` (FICLONE).
int berth_clone_file(int to, int from);
/// copy_file_range(2) with both offsets given; bytes copied, 0 at the end.
long long berth_copy_range(int from, long long from_offset, int to, long long to_offset, size_t count);
/// The next byte of data, or the next hole, at or after `offset` (SEEK_DATA, SEEK_HOLE). ENXIO: there is none.
long long berth_seek_data(int fd, long long offset);
long long berth_seek_hole(int fd, long long offset);

/// BTRFS_IOC_SUBVOL_CREATE_V2: an empty subvolume `name` in `directory`, which is open for reading (O_PATH does not do).
int berth_btrfs_create(int directory, const char *name);
/// BTRFS_IOC_SNAP_CREATE_V2 of the subvolume whose root `source` is.
int berth_btrfs_snapshot(int directory, const char *name, int source);
/// BTRFS_IOC_SNAP_DESTROY_V2, or SNAP_DESTROY on older kernels. ENOTEMPTY: other subvolumes are in it.
int berth_btrfs_destroy(int directory, const char *name);
/// Sets or clears the read-only flag of the subvolume whose root `fd` is.
int berth_btrfs_set_readonly(int fd, int readonly);
/// The id of the subvolume that `fd` is in.
int berth_btrfs_id(int fd, uint64_t *id);
/// Turns quota groups on for the whole file system; EEXIST or success where they are on already.
int berth_btrfs_enable_quota(int fd);
/// Bytes that the subvolume itself may hold alone (not shared with others).
int berth_btrfs_limit(int fd, uint64_t id, uint64_t bytes);

/// Gives a directory, and what is made in it from then on, a project id (FS_IOC_FSSETXATTR, FS_XFLAG_PROJINHERIT).
int berth_set_project(int directory, uint32_t project);
/// Bytes that the files of a project may take on the file system of `fd`; 0 for no limit. ENOTSUP, ENOSYS, ESRCH or EINVAL: no project quota here.
int berth_limit_project(int fd, uint32_t project, uint64_t bytes);

#endif
