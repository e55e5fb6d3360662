import Testing

@testable import berth

/// The part of Go's templates that Docker documents.
struct TemplateTests {
    private let value = try! JSONParser.parse(
        #"{"Name":"/web","State":{"Running":true,"Pid":7},"Ports":["80/tcp","443/tcp"],"Labels":{"b":"2","a":"1"},"Size":1.5,"None":null}"#)

    private func render(_ source: String, strict: Bool = false) throws -> String {
        try Template(source, missingIsError: strict).render(.json(value))
    }

    private func failure(_ source: String, strict: Bool = false) -> String {
        do {
            return "no failure: " + (try render(source, strict: strict))
        } catch { return (error as? TemplateError)?.message ?? "\(error)" }
    }

    @Test func `fields, chains and values print as Go prints them`() throws {
        #expect(try render("{{.Name}} {{.State.Pid}} {{.Ports}} {{.Labels}} {{.Size}}") == "/web 7 [80/tcp 443/tcp] map[a:1 b:2] 1.5")
        #expect(try render("{{.Missing}}") == "<no value>")
    }

    @Test func `if, else if, with and range`() throws {
        #expect(try render("{{if .None}}a{{else if .State.Running}}b{{else}}c{{end}}") == "b")
        #expect(try render("{{with .State}}{{.Pid}}{{end}}{{with .None}}x{{else}}y{{end}}") == "7y")
        #expect(try render("{{range .Ports}}[{{.}}]{{end}}{{range .None}}x{{else}}none{{end}}") == "[80/tcp][443/tcp]none")
        #expect(try render("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}") == "a=1;b=2;")
        #expect(try render("{{range $i, $p := .Ports}}{{if $i}}, {{end}}{{$p}}{{end}}") == "80/tcp, 443/tcp")
        #expect(try render("{{range .Ports}}{{.}}{{break}}{{end}}") == "80/tcp")
    }

    @Test func `functions and pipelines`() throws {
        #expect(try render("{{json .Ports}} {{.Name | upper | printf \"%q\"}} {{len .Ports}}") == "[\"80/tcp\",\"443/tcp\"] \"/WEB\" 2")
        #expect(try render("{{index .Ports 1}} {{index .Labels \"a\"}} {{index .Labels \"z\"}}|") == "443/tcp 1 |")
        #expect(try render("{{join .Ports \"-\"}} {{join (split \"a:b\" \":\") \",\"}} {{slice .Name 1 3}}") == "80/tcp-443/tcp a,b we")
        #expect(try render("{{eq .State.Pid 7 8}} {{ne .Name \"x\"}} {{lt 1 2}} {{and true .None}} {{or .None \"x\"}} {{not .None}}") == "true true true <no value> x true")
        #expect(try render("{{printf \"%-5s|%5d|%05d|%.2f|%v|%%\" \"ab\" 3 4 .Size true}}") == "ab   |    3|00004|1.50|true|%")
        #expect(try render("{{title \"hello world\"}} {{pad \"x\" 1 2}}| {{truncate \"abcdef\" 2}} {{println \"a\"}}") == "Hello World  x  | ab a\n")
    }

    @Test func `trim markers, comments, variables and raw strings`() throws {
        #expect(try render("a {{- \"b\" -}} c {{/* no */}}{{$x := 3}}{{$x}}{{`\\t`}}") == "abc 3\\t")
        #expect(try render("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}") == "2")
    }

    @Test func `errors name place and reason as Go does`() {
        #expect(failure("{{.Foo", strict: true) == "template: :1: unclosed action")
        #expect(failure("{{foo}}") == "template: :1: function \"foo\" not defined")
        #expect(failure("{{if}}{{end}}") == "template: :1: missing value for if")
        #expect(failure("{{range .Ports}}") == "template: :1: unexpected EOF")
        #expect(failure("{{.Foo}}", strict: true) == "template: :1:2: executing \"\" at <.Foo>: map has no entry for key \"Foo\"")
        #expect(failure("{{.State.Foo}}", strict: true) == "template: :1:8: executing \"\" at <.State.Foo>: map has no entry for key \"Foo\"")
    }

    @Test func `a table has its titles above aligned columns`() throws {
        let headers: [(field: String, title: String)] = [("Name", "NAME"), ("Size", "SIZE")]
        let rows = ["a", "much-longer-name"].map { name in
            TemplateRow(typeName: "*row", fields: [("Name", { .string(name) }), ("Size", { "1B" })], label: { _ in "v" })
        }
        let listing = Listing.choose(given: "", table: "{{.Name}}\\t{{.Size}}", quiet: nil, headers: headers)
        #expect(try listing.render(rows) == "NAME               SIZE\na                  1B\nmuch-longer-name   1B\n")
        #expect(try Listing(format: "table {{.Label \"com.x.my-label\"}}", headers: headers).render(rows) == "my label\nv\nv\n")
        #expect(try Listing(format: "json", headers: headers).render([rows[0]]) == "{\"Name\":\"a\",\"Size\":\"1B\"}\n")
        #expect(throws: CommandFailure.self) { try Listing(format: "{{.Nope}}", headers: headers).render(rows) }
    }
}
