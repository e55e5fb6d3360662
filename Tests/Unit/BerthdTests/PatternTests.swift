@testable import berthd
import Testing

@Test(arguments: [
    ("web", "my-web-1", true), ("^web", "my-web-1", false), ("web-[0-9]+$", "my-web-1", true), ("^/?my-(web|db)-\\d$", "/my-db-2", true), ("a.*?b", "xacb", true),
    ("(?:x|y)z", "yz", true), ("(?i)WEB", "my-web", true), ("[", "[", false), ("w{2}", "web", false),
] as [(String, String, Bool)])
func `a name filter is a regular expression in Go's writing`(pattern: String, text: String, matches: Bool) {
    #expect(GoPattern(pattern).matches(text) == matches)
}
