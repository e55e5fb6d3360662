// Constants that libc's headers show only with _GNU_SOURCE, which Swift's Glibc module is built without. Values are the kernel's generic ones, the
// same on x86-64 and arm64.

package let O_PATH: CInt = 0o10000000
package let AT_EMPTY_PATH: CInt = 0x1000
package let MSG_CMSG_CLOEXEC: CInt = 0x4000_0000
