import GRDB
import NIOPosix
@main struct Main { static func main() { print(MultiThreadedEventLoopGroup.self, DatabaseQueue.self) } }
