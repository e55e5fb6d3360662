#include "VolumeCalls.h"

#include <errno.h>
#include <linux/btrfs.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int berth_clone_file(int to, int from) { return ioctl(to, FICLONE, from); }

long long berth_copy_range(int from, long long from_offset, int to, long long to_offset, size_t count) {
  return syscall(SYS_copy_file_range, from, &from_offset, to, &to_offset, count, 0);
}

long long berth_seek_data(int fd, long long offset) { return lseek(fd, offset, SEEK_DATA); }
long long berth_seek_hole(int fd, long long offset) { return lseek(fd, offset, SEEK_HOLE); }

static int volume_arguments(struct btrfs_ioctl_vol_args_v2 *arguments, const char *name) {
  memset(arguments, 0, sizeof *arguments);
  if (strlen(name) > BTRFS_SUBVOL_NAME_MAX) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(arguments->name, name);
  return 0;
}

int berth_btrfs_create(int directory, const char *name) {
  struct btrfs_ioctl_vol_args_v2 arguments;
  if (volume_arguments(&arguments, name) != 0) return -1;
  return ioctl(directory, BTRFS_IOC_SUBVOL_CREATE_V2, &arguments);
}

int berth_btrfs_snapshot(int directory, const char *name, int source) {
  struct btrfs_ioctl_vol_args_v2 arguments;
  if (volume_arguments(&arguments, name) != 0) return -1;
  arguments.fd = source;
  return ioctl(directory, BTRFS_IOC_SNAP_CREATE_V2, &arguments);
}

int berth_btrfs_destroy(int directory, const char *name) {
  struct btrfs_ioctl_vol_args_v2 arguments;
  if (volume_arguments(&arguments, name) != 0) return -1;
  int result = ioctl(directory, BTRFS_IOC_SNAP_DESTROY_V2, &arguments);
  if (result == 0 || (errno != ENOTTY && errno != EOPNOTSUPP)) return result;
  struct btrfs_ioctl_vol_args old;
  memset(&old, 0, sizeof old);
  memcpy(old.name, arguments.name, sizeof arguments.name);
  return ioctl(directory, BTRFS_IOC_SNAP_DESTROY, &old);
}

int berth_btrfs_set_readonly(int fd, int readonly) {
  uint64_t flags = 0;
  if (ioctl(fd, BTRFS_IOC_SUBVOL_GETFLAGS, &flags) != 0) return -1;
  uint64_t wanted = readonly ? flags | BTRFS_SUBVOL_RDONLY : flags & ~(uint64_t)BTRFS_SUBVOL_RDONLY;
  return wanted == flags ? 0 : ioctl(fd, BTRFS_IOC_SUBVOL_SETFLAGS, &wanted);
}

int berth_btrfs_id(int fd, uint64_t *id) {
  struct btrfs_ioctl_ino_lookup_args arguments;
  memset(&arguments, 0, sizeof arguments);
  arguments.objectid = 256;  // BTRFS_FIRST_FREE_OBJECTID: the root of the tree that `fd` is in
  if (ioctl(fd, BTRFS_IOC_INO_LOOKUP, &arguments) != 0) return -1;
  *id = arguments.treeid;
  return 0;
}

int berth_btrfs_enable_quota(int fd) {
  struct btrfs_ioctl_quota_ctl_args arguments;
  memset(&arguments, 0, sizeof arguments);
  arguments.cmd = BTRFS_QUOTA_CTL_ENABLE;
  return ioctl(fd, BTRFS_IOC_QUOTA_CTL, &arguments);
}

int berth_btrfs_limit(int fd, uint64_t id, uint64_t bytes) {
  struct btrfs_ioctl_qgroup_limit_args arguments;
  memset(&arguments, 0, sizeof arguments);
  arguments.qgroupid = id;
  arguments.lim.flags = BTRFS_QGROUP_LIMIT_MAX_EXCL;
  arguments.lim.max_excl = bytes;
  return ioctl(fd, BTRFS_IOC_QGROUP_LIMIT, &arguments);
}

int berth_set_project(int directory, uint32_t project) {
  struct fsxattr attributes;
  if (ioctl(directory, FS_IOC_FSGETXATTR, &attributes) != 0) return -1;
  attributes.fsx_projid = project;
  attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
  return ioctl(directory, FS_IOC_FSSETXATTR, &attributes);
}

int berth_limit_project(int fd, uint32_t project, uint64_t bytes) {
  struct fs_disk_quota quota;
  memset(&quota, 0, sizeof quota);
  quota.d_version = FS_DQUOT_VERSION;
  quota.d_id = project;
  quota.d_flags = FS_PROJ_QUOTA;
  quota.d_fieldmask = FS_DQ_BHARD | FS_DQ_BSOFT;
  quota.d_blk_hardlimit = quota.d_blk_softlimit = bytes / 512;
  enum { PROJECT_QUOTA = 2 };
#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif
  return (int)syscall(SYS_quotactl_fd, fd, (Q_XSETQLIM << 8) | PROJECT_QUOTA, project, &quota);
}
