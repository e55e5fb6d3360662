import CLinux
import Glibc

/// An epoll instance: what the shim's one thread sleeps in.
package struct Epoll: ~Copyable {
    /// What a descriptor is ready for. Errors and hang-ups are always reported.
    package struct Interest: OptionSet, Sendable {
        package let rawValue: UInt32
        package init(rawValue: UInt32) { self.rawValue = rawValue }
        package static let read = Interest(rawValue: 0x001)
        package static let priority = Interest(rawValue: 0x002)
        package static let write = Interest(rawValue: 0x004)
        package static let error = Interest(rawValue: 0x008)
        package static let hangUp = Interest(rawValue: 0x010)
        /// The peer of a socket has shut its writing side down.
        package static let readHangUp = Interest(rawValue: 0x2000)
    }

    private let file: OwnedFD
    private let events: UnsafeMutablePointer<epoll_event>
    private static let batch = 32

    package init() throws(SystemError) {
        file = OwnedFD(adopting: try syscall("epoll_create1", on: "") { epoll_create1(CInt(EPOLL_CLOEXEC)) })
        events = .allocate(capacity: Epoll.batch)
    }

    /// Watches `descriptor`, level triggered; `token` comes back with every event.
    package borrowing func add(_ descriptor: CInt, _ interest: Interest, token: UInt64) throws(SystemError) {
        try control(EPOLL_CTL_ADD, descriptor, interest, token)
    }

    package borrowing func modify(_ descriptor: CInt, _ interest: Interest, token: UInt64) throws(SystemError) {
        try control(EPOLL_CTL_MOD, descriptor, interest, token)
    }

    package borrowing func remove(_ descriptor: CInt) {
        var event = epoll_event()
        _ = epoll_ctl(file.rawValue, EPOLL_CTL_DEL, descriptor, &event)
    }

    private borrowing func control(_ operation: CInt, _ descriptor: CInt, _ interest: Interest, _ token: UInt64) throws(SystemError) {
        var event = epoll_event()
        event.events = interest.rawValue
        event.data.u64 = token
        let epoll = file.rawValue
        try syscall("epoll_ctl", on: "descriptor \(descriptor)") { epoll_ctl(epoll, operation, descriptor, &event) }
    }

    /// Sleeps until something is ready or `timeout` milliseconds are over (-1: for ever), then hands out each event. A signal counts as nothing.
    package borrowing func wait(milliseconds timeout: CInt, _ body: (UInt64, Interest) -> Void) {
        let count = epoll_wait(file.rawValue, events, CInt(Epoll.batch), timeout)
        guard count > 0 else { return }
        for index in 0..<Int(count) { body(events[index].data.u64, Interest(rawValue: events[index].events)) }
    }

    deinit { events.deallocate() }
}

/// A counter that a kernel facility raises, such as the memory controller's event interface.
package enum EventCounter {
    package static func make() throws(SystemError) -> OwnedFD {
        OwnedFD(adopting: try syscall("eventfd", on: "") { eventfd(0, CInt(EFD_CLOEXEC | EFD_NONBLOCK)) })
    }

    /// Takes the count and resets it; 0 when nothing happened.
    package static func take(_ file: borrowing OwnedFD) -> UInt64 {
        var value: UInt64 = 0
        return read(file.rawValue, &value, 8) == 8 ? value : 0
    }
}

/// Watches files for modification (inotify(7)).
package enum FileWatch {
    /// A descriptor that becomes readable whenever the file at `path` changes.
    package static func modifications(of path: String) throws(SystemError) -> OwnedFD {
        let file = OwnedFD(adopting: try syscall("inotify_init1", on: "") { inotify_init1(CInt(IN_CLOEXEC | IN_NONBLOCK)) })
        let raw = file.rawValue
        try syscall("inotify_add_watch", on: path) { inotify_add_watch(raw, path, UInt32(IN_MODIFY)) }
        return file
    }

    /// Reads and forgets what is queued.
    package static func drain(_ file: borrowing OwnedFD) {
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer in
            while read(file.rawValue, buffer.baseAddress, buffer.count) > 0 {}
        }
    }
}
