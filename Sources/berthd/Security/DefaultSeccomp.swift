import OCISpec

/// Docker's default seccomp profile as data: everything is refused with EPERM but what is listed here.
///
/// Left out, because holes were found behind them or may be: loading of modules and of kernels, keyrings, io_uring, userfaultfd, new user namespaces,
/// sockets of the kernel's crypto interface (AF_ALG) and of virtual machines' hosts (AF_VSOCK). A capability that is pointless without certain calls
/// brings them along.
///
/// Facts: moby's profiles/seccomp/default.json.
enum DefaultSeccomp {
    static let profile = SeccompProfile(
        defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 1,
        archMap: [
            .init(architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
            .init(architecture: "SCMP_ARCH_AARCH64", subArchitectures: ["SCMP_ARCH_ARM"]),
            .init(architecture: "SCMP_ARCH_S390X", subArchitectures: ["SCMP_ARCH_S390"]),
            .init(architecture: "SCMP_ARCH_RISCV64"),
            .init(architecture: "SCMP_ARCH_LOONGARCH64"),
        ],
        syscalls: rules)

    private static let rules: [SeccompProfile.Rule] =
        [allow(everyday), allow("process_vm_readv process_vm_writev ptrace", .init(minKernel: "4.8"))]
        // AF_ALG is 38, AF_VSOCK 40.
        + [allow("socket", when: .lessThan(38)), allow("socket", when: .equal(39)), allow("socket", when: .greaterThan(40))]
        // PER_LINUX, PER_LINUX32, UNAME26 with each, and the question.
        + [0, 0x0008, 0x0002_0000, 0x0002_0008, 0xFFFF_FFFF].map { allow("personality", when: .equal($0)) }
        + byArchitecture + clone + byCapability

    private static let byArchitecture = [
        allow("sync_file_range2 swapcontext", .init(arches: ["ppc64le"])),
        allow("arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls", .init(arches: ["arm", "arm64"])),
        allow("arch_prctl", .init(arches: ["amd64", "x32"])),
        allow("modify_ldt", .init(arches: ["amd64", "x32", "x86"])),
        allow("s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr", .init(arches: ["s390", "s390x"])),
        allow("riscv_flush_icache", .init(arches: ["riscv64"])),
    ]

    /// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
    private static let namespaceFlags: UInt64 = 0x7E02_0000

    /// Threads and processes, but no namespaces without CAP_SYS_ADMIN. clone3's flags are in memory, where a filter cannot look: libc is told that
    /// the call does not exist and uses clone.
    private static let clone = [
        SeccompProfile.Rule(
            names: ["clone"], action: "SCMP_ACT_ALLOW", args: [.init(index: 0, value: namespaceFlags, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ")],
            excludes: .init(caps: ["CAP_SYS_ADMIN"], arches: ["s390", "s390x"])),
        // There the flags are the second argument.
        SeccompProfile.Rule(
            names: ["clone"], action: "SCMP_ACT_ALLOW", args: [.init(index: 1, value: namespaceFlags, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ")],
            includes: .init(arches: ["s390", "s390x"]), excludes: .init(caps: ["CAP_SYS_ADMIN"])),
        SeccompProfile.Rule(names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38, excludes: .init(caps: ["CAP_SYS_ADMIN"])),
    ]

    private static let byCapability = [
        ("DAC_READ_SEARCH", "open_by_handle_at"),
        (
            "SYS_ADMIN",
            """
            bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount
            mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare
            """
        ),
        ("SYS_BOOT", "reboot"),
        ("SYS_CHROOT", "chroot"),
        ("SYS_MODULE", "delete_module init_module finit_module"),
        ("SYS_PACCT", "acct"),
        ("SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
        ("SYS_RAWIO", "iopl ioperm"),
        ("SYS_TIME", "settimeofday stime clock_settime clock_settime64"),
        ("SYS_TTY_CONFIG", "vhangup"),
        ("SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
        ("SYSLOG", "syslog"),
        ("BPF", "bpf"),
        ("PERFMON", "perf_event_open"),
    ].map { allow($1, .init(caps: ["CAP_\($0)"])) }

    /// A condition on the first argument.
    private enum FirstArgument {
        case lessThan(UInt64), equal(UInt64), greaterThan(UInt64)

        var argument: RuntimeSpec.Linux.SeccompArgument {
            switch self {
            case .lessThan(let value): .init(index: 0, value: value, op: "SCMP_CMP_LT")
            case .equal(let value): .init(index: 0, value: value, op: "SCMP_CMP_EQ")
            case .greaterThan(let value): .init(index: 0, value: value, op: "SCMP_CMP_GT")
            }
        }
    }

    private static func allow(
        _ names: String, _ includes: SeccompProfile.Condition? = nil, when argument: FirstArgument? = nil
    ) -> SeccompProfile.Rule {
        SeccompProfile.Rule(
            names: names.split { $0 == " " || $0 == "\n" }.map(String.init), action: "SCMP_ACT_ALLOW", args: argument.map { [$0.argument] },
            includes: includes)
    }

    /// What every program may do, by subject: files and directories, attributes and status, reading and writing, waiting for events, memory,
    /// threads and locks, processes, scheduling, users and groups, signals, time, sockets, message queues, semaphores, shared memory.
    private static let everyday = """
        access chdir chmod chown chown32 close close_range creat dup dup2 dup3 faccessat faccessat2 fallocate fchdir fchmod fchmodat fchmodat2
        fchown fchown32 fchownat fcntl fcntl64 flock ftruncate ftruncate64 futimesat getcwd getdents getdents64 ioctl lchown lchown32 link linkat
        _llseek lseek mkdir mkdirat mknod mknodat name_to_handle_at open openat openat2 readlink readlinkat rename renameat renameat2 rmdir symlink
        symlinkat truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes

        fgetxattr flistxattr fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 getxattr getxattrat lgetxattr listmount listxattr
        listxattrat llistxattr lremovexattr lsetxattr lstat lstat64 newfstatat removexattr removexattrat setxattr setxattrat stat stat64 statfs
        statfs64 statmount statx

        cachestat copy_file_range fadvise64 fadvise64_64 fdatasync fsync io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64
        io_setup io_submit pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readv sendfile sendfile64 splice sync
        sync_file_range syncfs tee vmsplice write writev

        epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 fanotify_mark
        inotify_add_watch inotify_init inotify_init1 inotify_rm_watch _newselect poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd
        signalfd4 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64

        brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap mseal msync
        munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages

        futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list get_thread_area gettid landlock_add_rule
        landlock_create_ruleset landlock_restrict_self restart_syscall riscv_hwprobe rseq seccomp set_robust_list set_thread_area set_tid_address
        uretprobe

        capget capset execve execveat exit exit_group fork getcpu getpgid getpgrp getpid getppid getpriority getrandom getrlimit getrusage getsid
        ioprio_get ioprio_set pidfd_open pidfd_send_signal prctl prlimit64 setpgid setpriority setrlimit setsid sysinfo times ugetrlimit uname vfork
        wait4 waitid waitpid

        sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
        sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield

        getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 getresuid getresuid32 getuid getuid32
        setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid
        setresuid32 setreuid setreuid32 setuid setuid32

        alarm kill pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
        rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn tgkill tkill

        adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64
        getitimer gettimeofday nanosleep setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
        timer_settime64

        accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg send sendmmsg sendmsg
        sendto setsockopt shutdown socketcall socketpair

        ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv
        msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget
        """
}
