/// bpf(2) as far as device filters of cgroup v2 need it. The same rules as in CLinux.h.
#ifndef BERTH_CGROUP_CALLS_H
#define BERTH_CGROUP_CALLS_H

#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int berth_bpf(int command, union bpf_attr *attr) { return (int)syscall(SYS_bpf, command, attr, sizeof *attr); }

static inline int berth_bpf_load_device_program(const unsigned long long *instructions, unsigned count) {
  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.insns = (unsigned long)instructions;
  attr.insn_cnt = count;
  attr.license = (unsigned long)"Apache-2.0";
  memcpy(attr.prog_name, "berth_devices", 14);
  return berth_bpf(BPF_PROG_LOAD, &attr);
}

/// How many programs decide about the devices of the cgroup; their ids in `ids`.
static inline int berth_bpf_query_devices(int cgroup, unsigned *ids, unsigned room) {
  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.query.target_fd = cgroup;
  attr.query.attach_type = BPF_CGROUP_DEVICE;
  attr.query.prog_ids = (unsigned long)ids;
  attr.query.prog_cnt = room;
  return berth_bpf(BPF_PROG_QUERY, &attr) == -1 ? -1 : (int)attr.query.prog_cnt;
}

static inline int berth_bpf_program_by_id(unsigned id) {
  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.prog_id = id;
  return berth_bpf(BPF_PROG_GET_FD_BY_ID, &attr);
}

/// `replaced` is a program to replace, or -1.
static inline int berth_bpf_attach_devices(int cgroup, int program, int replaced) {
  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.target_fd = cgroup;
  attr.attach_bpf_fd = program;
  attr.attach_type = BPF_CGROUP_DEVICE;
  attr.attach_flags = BPF_F_ALLOW_MULTI | (replaced >= 0 ? BPF_F_REPLACE : 0);
  if (replaced >= 0) attr.replace_bpf_fd = replaced;
  return berth_bpf(BPF_PROG_ATTACH, &attr);
}

static inline int berth_bpf_detach_devices(int cgroup, int program) {
  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.target_fd = cgroup;
  attr.attach_bpf_fd = program;
  attr.attach_type = BPF_CGROUP_DEVICE;
  return berth_bpf(BPF_PROG_DETACH, &attr);
}

#endif
