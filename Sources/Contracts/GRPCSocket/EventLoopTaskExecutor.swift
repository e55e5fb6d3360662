package import NIOCore

/// Runs tasks on an event loop, so that a handler starts and goes on where its connection lives, without a hop to another thread.
///
/// What runs here must not block: files and SQLite's writes belong on a thread of their own.
package final class EventLoopTaskExecutor: TaskExecutor {
    package let loop: any EventLoop

    package init(_ loop: any EventLoop) { self.loop = loop }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        loop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
