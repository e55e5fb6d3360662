import DockerAPI

/// `events`.
enum EventsCommand {
    static let command = Command(
        name: "events", synopsis: "[OPTIONS]", summary: "Get real time events from the server", arguments: .none,
        flags: [
            .filter(), .string("format", Flag.inspectUsage), .string("since", "Show all events created since timestamp"),
            .string("until", "Stream events until this timestamp"),
        ], aliases: ["system events", "events"], run: run)

    private static func run(_ call: Invocation) throws {
        let format = call.string("format")
        var template: Template?
        if !format.isEmpty {
            do { template = try Template(format == "json" ? "{{json .}}" : format) } catch let error as TemplateError {
                throw CommandFailure("Error parsing format: \(error.message)", status: 64)
            }
        }
        var query = call.filters()
        for key in ["since", "until"] where !call.string(key).isEmpty {
            do { query.append((key, try TimeArgument.parse(call.string(key)))) } catch let error as InvalidValue {
                throw CommandFailure("invalid value for \(GoText.quoted(key)): \(error.reason)")
            }
        }
        let response = try call.engine.open("GET", "/events", query: query)
        var stream = JSONStream()
        while case let bytes = try response.read(), !bytes.isEmpty {
            for event in try stream.append(bytes) {
                if let template { call.print(try template.render(.json(completed(event)))) } else { call.print(text(event)) }
            }
            call.client.out.flush()
        }
    }

    private static func text(_ event: JSONValue) -> String {
        let nanoseconds = event.int("timeNano")
        let time = nanoseconds != 0
            ? Timestamp(seconds: nanoseconds / 1_000_000_000, nanoseconds: nanoseconds % 1_000_000_000).rfc3339Nano
            : event.int("time") != 0 ? Timestamp(seconds: event.int("time")).rfc3339Nano : ""
        let actor = event["Actor"] ?? .null
        let attributes = actor.object("Attributes").members.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value.stringValue ?? "")" }
        return (time.isEmpty ? "" : time + " ") + "\(event.string("Type")) \(event.string("Action")) \(actor.string("ID"))"
            + (attributes.isEmpty ? "" : " (\(attributes.joined(separator: ", ")))")
    }

    /// Templates call some members by Go's names.
    private static func completed(_ event: JSONValue) -> JSONValue {
        guard var object = event.objectValue else { return event }
        for (name, other) in [("status", "Status"), ("id", "ID"), ("from", "From"), ("scope", "Scope"), ("time", "Time"), ("timeNano", "TimeNano")]
        where object[other] == nil { object[other] = object[name] ?? "" }
        return .object(object)
    }
}
