// executed OUT COMMAND [ARG...]: runs COMMAND and the processes it clones one instruction at a time and writes every address of the program that was executed, in
// the order of its first execution. For a static program without a loader; some 20 µs an instruction. What COMMAND leaves running is let go.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { lowest = 0x200000, highest = 0x2000000 };
static char seen[highest - lowest];

int main(int count, char **words) {
    if (count < 3) return 2;
    FILE *out = fopen(words[1], "w");
    if (!out) return perror(words[1]), 1;
    pid_t first = fork();
    if (first == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        dup2(open("/dev/null", O_RDWR), 0);
        execvp(words[2], words + 2);
        _exit(127);
    }
    int status;
    waitpid(first, &status, 0);
    ptrace(PTRACE_SETOPTIONS, first, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC);
    ptrace(PTRACE_SINGLESTEP, first, 0, 0);
    for (;;) {
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0) return 1;
        if (!WIFSTOPPED(status)) {
            if (pid == first) return fclose(out), WIFEXITED(status) ? WEXITSTATUS(status) : 1;
            continue;
        }
        int signal = WSTOPSIG(status), event = status >> 16;
        // Another program, the container's.
        if (event == PTRACE_EVENT_EXEC) {
            ptrace(PTRACE_DETACH, pid, 0, 0);
            continue;
        }
        unsigned long at = ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rip), 0);
        if (at >= lowest && at < highest && !seen[at - lowest]) {
            seen[at - lowest] = 1;
            fprintf(out, "%lx\n", at);
        }
        int isOurs = event || signal == SIGTRAP || signal == SIGSTOP;
        ptrace(PTRACE_SINGLESTEP, pid, 0, isOurs ? 0 : signal);
    }
}
