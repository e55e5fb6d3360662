// The first instructions of berth-runtime, before libc and Swift are set up.
//
// A command that makes processes for containers runs from a read-only mount of its own file (Security/ExecutableSeal.swift says why). Getting there takes a
// second execve, and what costs time in one is not the kernel's part but the start of libc, which asks the processor about its caches: on virtual machines
// every question is an exit to the hypervisor, a third of a millisecond in all. So the first of the two happens here, where nothing is set up yet.
//
// Whatever goes wrong, the program simply starts: `ExecutableSeal.ensure` then does the same with error messages, and decides.
//
// On entry only the stack is there: no thread-local storage (no stack protector), no resolved functions of libc (no memcpy that the compiler might put in).
#define _GNU_SOURCE
#include "CSealedStart.h"

#if defined(__x86_64__)
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>

#define EARLY static __attribute__((no_stack_protector, no_builtin))

EARLY long call(long number, long a, long b, long c, long d, long e) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
  return result;
}

EARLY int is(const char *word, const char *name) {
  while (*name && *word == *name) word++, name++;
  return *word == *name;
}

/// Executes the program again from a read-only, detached clone of its mount, if the command needs it and it is not there yet.
/// `stack` is what the kernel has put there: argc, argv, NULL, envp, NULL.
__attribute__((used, no_stack_protector, no_builtin)) void berth_seal(long *stack) {
  long count = stack[0];
  char **arguments = (char **)(stack + 1), **environment = arguments + count + 1;
  int wanted = 0;
  for (long i = 1; i < count && !wanted; i++) wanted = is(arguments[i], "create") || is(arguments[i], "run") || is(arguments[i], "exec");
  if (!wanted || call(SYS_geteuid, 0, 0, 0, 0, 0) != 0) return;
  long file = call(SYS_openat, AT_FDCWD, (long)"/proc/self/exe", O_PATH | O_CLOEXEC, 0, 0);
  if (file < 0) return;
  // struct statfs, whose flags are its eleventh word; 1 is ST_RDONLY.
  volatile long status[32];
  if (call(SYS_fstatfs, file, (long)status, 0, 0, 0) == 0 && !(status[10] & 1)) {
    long tree = call(SYS_open_tree, file, (long)"", OPEN_TREE_CLONE | O_CLOEXEC | 0x1000 /* AT_EMPTY_PATH */, 0, 0);
    volatile unsigned long long attributes[4];
    attributes[0] = 1;  // MOUNT_ATTR_RDONLY
    attributes[1] = attributes[2] = attributes[3] = 0;
    if (tree >= 0 && call(SYS_mount_setattr, tree, (long)"", 0x1000, (long)attributes, sizeof attributes) == 0) {
      long length = 0;
      while (environment[length]) length++;
      // A program without a path of its own has Swift's start-up look for a backtrace helper in the working directory: not with this variable.
      char *changed[length + 2];
      for (long i = 0; i < length; i++) *(char *volatile *)&changed[i] = environment[i];
      changed[length] = (char *)"SWIFT_BACKTRACE=enable=no";
      changed[length + 1] = 0;
      call(SYS_execveat, tree, (long)"", (long)arguments, (long)changed, 0x1000);
    }
    if (tree >= 0) call(SYS_close, tree, 0, 0, 0, 0);
  }
  call(SYS_close, file, 0, 0, 0, 0);
}

// %rdx is a function for atexit, which _start expects there; the stack is as the kernel made it.
__asm__(
    ".text\n"
    ".globl berth_sealed_start\n"
    ".type berth_sealed_start, @function\n"
    "berth_sealed_start:\n"
    "  xor %ebp, %ebp\n"
    "  mov %rdx, %r12\n"
    "  mov %rsp, %rbx\n"
    "  mov %rsp, %rdi\n"
    "  and $-16, %rsp\n"
    "  call berth_seal\n"
    "  mov %rbx, %rsp\n"
    "  mov %r12, %rdx\n"
    "  jmp _start\n");
#elif defined(__aarch64__)
// Elsewhere the Swift side alone does it.
__asm__(".text\n.globl berth_sealed_start\nberth_sealed_start:\n  b _start\n");
#else
#error "berth_sealed_start: give the program's entry for this machine"
#endif
