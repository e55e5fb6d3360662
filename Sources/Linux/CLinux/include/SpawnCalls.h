/// What posix_spawn(3) of glibc 2.34 and later can and its header hides without _GNU_SOURCE.
#ifndef BERTH_SPAWN_CALLS_H
#define BERTH_SPAWN_CALLS_H

#include <spawn.h>

extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);

static inline int berth_spawn_close_from(posix_spawn_file_actions_t *actions, int from) { return posix_spawn_file_actions_addclosefrom_np(actions, from); }

#endif
