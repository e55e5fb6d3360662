// How the static programs come from the kernel's entry point to main: the steps of glibc's own `__libc_start_main`, without its questions to the processor.
//
// glibc asks CPUID some thirty times for caches and vector units, to choose among its copying and searching functions. In a virtual machine each question is an exit to the
// hypervisor, 6 to 8 µs, 0.2 ms of every command, shim and init. The programs here move texts of a few kilobytes: the functions that every x86-64 has are what they get,
// because nothing says that there are better ones (`_dl_x86_cpu_features` stays zero). As the name is defined here, the linker does not take glibc's object.
//
// The names that start with `_dl_` and `__libc_` are private to glibc and may change with any release. So this stands in for the releases whose steps were compared with these,
// and for others, or another processor, glibc's own start is used. The order is glibc's (csu/libc-start.c), and each step needs the one before:
//
//     auxiliary vector ─▶ choice of functions (IRELATIVE) ─▶ thread-local storage, canary ─▶ library ─▶ constructors ─▶ main ─▶ exit
//
// Left out besides CPUID: GLIBC_TUNABLES and its relatives. How a program that runs as root manages its memory is not the caller's to say.
#if defined(BERTH_STATIC) && defined(__x86_64__)
#include <features.h>
#if __GLIBC__ == 2 && __GLIBC_MINOR__ == 36

#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

extern char **__environ;
extern void *__libc_stack_end;
extern const uint64_t *_dl_random;
extern int __libc_enable_secure;

void _dl_aux_init(Elf64_auxv_t *vector);
void __libc_setup_tls(void);
void __libc_early_init(_Bool is_the_only_library);
void __libc_init_first(int count, char **arguments, char **environment);
void __libc_check_standard_fds(void);
int __cxa_atexit(void (*function)(void *), void *argument, void *library);
void _init(void);
void _fini(void);

// The linker's: tables of what is chosen at the start, and of constructors and destructors.
typedef void constructor(int, char **, char **);
extern const Elf64_Rela __rela_iplt_start[] __attribute__((weak, visibility("hidden")));
extern const Elf64_Rela __rela_iplt_end[] __attribute__((weak, visibility("hidden")));
extern constructor *__preinit_array_start[], *__preinit_array_end[], *__init_array_start[], *__init_array_end[];
extern void (*__fini_array_start[])(void), (*__fini_array_end[])(void);

// What memcpy and memset go by, in bytes: from where on `rep movsb` is used and from where on the caches are passed by. glibc computes them from the caches' sizes; these are
// the ones it starts from, with a megabyte of shared cache.
long __x86_data_cache_size = 32 << 10, __x86_data_cache_size_half = 16 << 10;
long __x86_shared_cache_size = 1 << 20, __x86_shared_cache_size_half = 512 << 10;
long __x86_shared_non_temporal_threshold = 768 << 10;
long __x86_rep_movsb_threshold = 2048, __x86_rep_movsb_stop_threshold = 768 << 10, __x86_rep_stosb_threshold = 2048;
int __x86_string_control = 0;

static void run_destructors(void *unused) {
    (void)unused;
    for (size_t left = __fini_array_end - __fini_array_start; left > 0; left--) __fini_array_start[left - 1]();
    _fini();
}

// Called by `_start` (crt1.o) with what the kernel put on the stack. The canary changes in here, so this function has none.
__attribute__((noreturn, no_stack_protector)) int __libc_start_main(
    int (*main)(int, char **, char **), int count, char **arguments, constructor *init, void (*fini)(void), void (*rtld_fini)(void), void *stack_end) {
    (void)init, (void)fini, (void)rtld_fini;  // of programs older than 2.34, and of the dynamic linker
    char **environment = arguments + count + 1;
    __environ = environment;
    __libc_stack_end = stack_end;

    char **end = environment;
    while (*end) end++;
    _dl_aux_init((Elf64_auxv_t *)(end + 1));

    for (const Elf64_Rela *entry = __rela_iplt_start; entry < __rela_iplt_end; entry++)
        *(Elf64_Addr *)entry->r_offset = ((Elf64_Addr(*)(void))entry->r_addend)();

    // The stack's canary (its lowest byte is zero, so that no text runs over it) and the key for stored addresses lie at fixed places of the thread's block.
    __libc_setup_tls();
    __asm__ volatile("movq %0, %%fs:0x28" : : "r"(_dl_random[0] & ~(uint64_t)0xff));
    __asm__ volatile("movq %0, %%fs:0x30" : : "r"(_dl_random[1]));

    __libc_early_init(1);
    __libc_init_first(count, arguments, environment);
    __cxa_atexit(run_destructors, NULL, NULL);
    if (__libc_enable_secure) __libc_check_standard_fds();

    for (constructor **each = __preinit_array_start; each < __preinit_array_end; each++) (*each)(count, arguments, environment);
    _init();
    for (constructor **each = __init_array_start; each < __init_array_end; each++) (*each)(count, arguments, environment);
    exit(main(count, arguments, environment));
}

#endif
#endif
