/// A value of D-Bus's type system.
///
/// Spec: D-Bus Specification, "Type System". Maps are arrays of structures of two, which on the wire they are.
package indirect enum BusValue: Equatable, Sendable {
    case byte(UInt8)
    case boolean(Bool)
    case int16(Int16)
    case uint16(UInt16)
    case int32(Int32)
    case uint32(UInt32)
    case int64(Int64)
    case uint64(UInt64)
    /// The bits of a double.
    case double(UInt64)
    case string(String)
    case objectPath(String)
    case signature(String)
    /// An index into the descriptors of the message.
    case descriptor(UInt32)
    /// With the signature of its elements, which an empty array does not tell.
    case array(of: String, [BusValue])
    case structure([BusValue])
    case variant(BusValue)

    /// An array of strings.
    package static func strings(_ list: [String]) -> BusValue { .array(of: "s", list.map { .string($0) }) }

    /// What the type is called on the wire: "a(sv)".
    package var signature: String {
        switch self {
        case .byte: "y"
        case .boolean: "b"
        case .int16: "n"
        case .uint16: "q"
        case .int32: "i"
        case .uint32: "u"
        case .int64: "x"
        case .uint64: "t"
        case .double: "d"
        case .string: "s"
        case .objectPath: "o"
        case .signature: "g"
        case .descriptor: "h"
        case .array(let element, _): "a" + element
        case .structure(let fields): "(" + fields.map(\.signature).joined() + ")"
        case .variant: "v"
        }
    }

    /// The text of a string, path or signature.
    package var text: String? {
        switch self {
        case .string(let text), .objectPath(let text), .signature(let text): text
        case .variant(let inner): inner.text
        default: nil
        }
    }
}
