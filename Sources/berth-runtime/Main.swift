import LinuxSystem
@main struct Main { static func main() { print(SystemError(call: "mount", subject: "x", errno: .busy)) } }
