import DockerAPI
import Testing

@Suite struct IgnorePatternsTests {
    @Test(arguments: [
        ("a", "a", true), ("a", "a/b", true), ("a", "b/a", false), ("/a/", "a/b", true), ("*/b", "a/b", true), ("*/b", "a/c/b", false), ("**/b", "a/c/b", true), ("**/b", "b", true),
        ("a/**", "a/b/c", true), ("a/**", "a", false), ("**", "x/y", true), ("*.txt", "a.txt", true), ("*.txt", "d/a.txt", false), ("**/*.txt", "d/e/a.txt", true), ("a?c", "abc", true), ("a?c", "a/c", false),
        ("[a-c]x", "bx", true), ("[^a-c]x", "bx", false), ("a/../b", "b", true), ("\\*", "*", true), ("\\*", "x", false), ("x**y", "xa/by", true), (".", "a", false), ("#x", "#x", false),
    ])
    func `Patterns match as Docker's do`(pattern: String, path: String, matches: Bool) throws { #expect(try IgnorePatterns(file: pattern + "\n").matches(path) == matches) }

    @Test func `The last line that matches counts`() throws {
        let patterns = try IgnorePatterns(file: "# comment\n*\n!docs\ndocs/secret\n  !docs/secret/public  \n")
        #expect(patterns.hasExceptions && patterns.matches("a") && !patterns.matches("docs/x") && patterns.matches("docs/secret/x") && !patterns.matches("docs/secret/public"))
    }

    @Test func `What is no pattern is told`() {
        #expect(throws: IgnorePatternError.self) { try IgnorePatterns(file: "a\n!\n") }
        #expect(throws: IgnorePatternError.self) { try IgnorePatterns(["[a"]) }
    }
}
