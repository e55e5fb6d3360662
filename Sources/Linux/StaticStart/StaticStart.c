#include "StaticStart.h"

// In place of two parts of libswiftCore.a that work before main in every program, a tenth of a millisecond of a command that takes one: as these names are
// defined here, the linker does not take the objects that define them, nor their initialisers.
//
// Only in the programs themselves: a test bundle has Swift's library beside it, not inside (BERTH_STATIC in Package.swift).
#ifdef BERTH_STATIC

// Backtrace.cpp looks in eight places for a program that describes a crash. The static programs have none, a crash is a core. The only reader is the report of a
// fatal error, whose first field it compares with 1, "on".
struct {
    char off[0x58];
} _swift_backtraceSettings;

// Called by nobody; Swift's start file names it so that backtraces are linked in.
_Bool _swift_backtrace_isThunkFunction(const char *name) {
    (void)name;
    return 0;
}

// CommandLine.cpp reads /proc/self/maps to find the arguments on the stack. glibc has noted where they are.
extern int __libc_argc;
extern char **__libc_argv;

void *_swift_stdlib_getUnsafeArgvArgc(int *count) {
    *count = __libc_argc;
    return __libc_argv;
}

#endif
