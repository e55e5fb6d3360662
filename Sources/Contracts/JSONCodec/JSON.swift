/// JSON for programs without Foundation: any `Codable` value from and to bytes.
///
/// Stricter than RFC 8259 asks, since the documents come from other programs and are acted upon as root: duplicate keys, invalid UTF-8, NUL
/// characters, lone surrogates and text after the document are refused, and size, depth and number of values are bounded. Integers are exact in
/// 64 bits, signed and unsigned (`docs/decisions.md` tells why this is not a C library).
package enum JSON {
    /// What a document may cost.
    package struct Limits: Sendable {
        /// Length of the document.
        package var bytes: Int
        /// Objects and arrays inside each other.
        package var depth: Int
        /// Values and keys in total.
        package var values: Int

        package init(bytes: Int = 16 << 20, depth: Int = 64, values: Int = 1 << 20) {
            self.bytes = bytes
            self.depth = depth
            self.values = values
        }

        package static let standard = Limits()
    }

    /// How a document is laid out.
    package enum Layout: Sendable {
        case compact
        /// One member per line, indented by this text for each level, as Go's `MarshalIndent` does.
        case indented(String)
    }

    /// Reads a document.
    /// - Throws: `JSONError`, which names the field.
    package static func decode<Value: Decodable>(
        _ type: Value.Type = Value.self, from bytes: [UInt8], limits: Limits = .standard
    ) throws(JSONError) -> Value {
        let document = try JSONDocument(parsing: bytes, limits: limits)
        do {
            return try document.unbox(type, at: 0)
        } catch let error as JSONError {
            throw error
        } catch let error as DecodingError {
            throw JSONError(error)
        } catch {
            throw JSONError(path: "", problem: "\(error)")
        }
    }

    /// Writes a document, without a line feed at the end. Fields come in the order in which the type encodes them, the keys of maps in that of their
    /// bytes. Numbers and texts look as Go's `encoding/json` writes them without `SetEscapeHTML`. A name that a type encodes twice stands there twice;
    /// types of Foundation are written as they encode themselves.
    /// - Throws: `JSONError` for what JSON cannot say: numbers that are not finite.
    package static func encode(_ value: some Encodable, layout: Layout = .compact) throws(JSONError) -> [UInt8] {
        do {
            let stream = JSONStream(layout: layout)
            try stream.write(value, at: 0)
            return try stream.finish()
        } catch let error as JSONError {
            throw error
        } catch let error as EncodingError {
            throw JSONError(error)
        } catch {
            throw JSONError(path: "", problem: "\(error)")
        }
    }
}
