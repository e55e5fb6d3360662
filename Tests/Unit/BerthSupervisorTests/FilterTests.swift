import Testing
@testable import berth_supervisor

@Suite struct `Filters as containerd writes them` {
    private func matches(_ text: String, _ fields: [String: String]) throws -> Bool {
        try FilterSet([text]).matches { fields[$0.joined(separator: ".")] }
    }

    @Test(arguments: [
        ("name==web", true), ("name!=web", false), ("name==db", false), ("name", true), ("size", false), ("name~=^w", true), ("name~=b$", true),
        ("name~=/^w.b$/", true), ("name~=|^/tasks/|", false), ("topic~=|^/tasks/|", true), ("name==\"web\"", true), ("name==web,topic==/tasks/exit", true),
        ("name==web,topic==/tasks/start", false), ("labels.\"com.example/a\"==1", true), ("labels.\"com.example/a\"", true), ("name == web , topic", true),
        ("name~=\"^(web|db)$\"", true), ("size!=3", true), ("", true), ("name==\"w\\x65b\"", true), ("name~=(?i)WEB", true),
    ])
    func `a filter selects`(text: String, expected: Bool) throws {
        let fields = ["name": "web", "topic": "/tasks/exit", "labels.com.example/a": "1"]
        #expect(try matches(text, fields) == expected)
    }

    @Test(arguments: ["name=", "name=web", "name==", "==web", "name==\"web", "name===", "name==web topic==x", "name~=(", "a..b", ".a", "name==|web|x|,y=", "a,", "name>3"])
    func `what is no filter is refused`(text: String) {
        // A bare | begins an ordinary value where no pattern is expected; the rest of that one is broken.
        #expect(throws: SupervisorError.self) { try FilterSet([text]) }
    }

    @Test func `several filters are alternatives, none is everything`() throws {
        let either = try FilterSet(["name==a", "name==b"])
        #expect(either.matches { _ in "b" })
        #expect(!either.matches { _ in "c" })
        #expect(try FilterSet([]).matches { _ in nil })
    }

    @Test func `dockerd's own filter selects its task events`() throws {
        let filters = try FilterSet(["namespace==moby,topic~=|^/tasks/|"])
        #expect(filters.matches { $0 == ["namespace"] ? "moby" : "/tasks/exit" })
        #expect(!filters.matches { $0 == ["namespace"] ? "default" : "/tasks/exit" })
        #expect(!filters.matches { $0 == ["namespace"] ? "moby" : "/images/create" })
    }
}
