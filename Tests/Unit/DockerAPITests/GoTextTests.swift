import DockerAPI
import Testing

@Suite struct GoTextTests {
    @Test(arguments: [
        ("plain", "\"plain\""), ("a\"b\\c", #""a\"b\\c""#), ("\n\r\t\u{7}\u{8}\u{B}\u{C}", #""\n\r\t\a\b\v\f""#), ("\u{0}\u{1f}\u{7f}", #""\x00\x1f\x7f""#),
        ("é日🙂", "\"é日🙂\""), ("\u{85}\u{a0}\u{200b}\u{2028}\u{fffe}", #""\u0085\u00a0\u200b\u2028\ufffe""#), ("\u{e0001}\u{10ffff}", #""\U000e0001\U0010ffff""#),
    ]) func `a text is quoted as Go quotes it`(_ text: String, _ expected: String) {
        #expect(GoText.quoted(text) == expected)
    }

    @Test func `lists stand in brackets`() {
        #expect(GoText.quoted(["a b", ""]) == #"["a b" ""]"# && GoText.plain(["a b", "c"]) == "[a b c]")
    }
}
