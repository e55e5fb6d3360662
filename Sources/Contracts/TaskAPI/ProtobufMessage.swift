package import CProtobufC
import Glibc

/// Bytes that are not the message they should be.
package struct ProtobufError: Error, CustomStringConvertible {
    /// The message's name, as its .proto file has it.
    package let message: String
    package var description: String { "malformed \(message)" }
}

/// A message of any type: `google.protobuf.Any`.
package struct AnyMessage: Sendable, Equatable {
    /// containerd leaves "type.googleapis.com/" out.
    package var typeURL: String
    package var value: [UInt8]

    package init(typeURL: String, value: [UInt8]) {
        self.typeURL = typeURL
        self.value = value
    }

    /// The type's name without what stands before the last slash.
    package var typeName: String { typeURL.lastIndex(of: "/").map { String(typeURL[typeURL.index(after: $0)...]) } ?? typeURL }

    package init(decoding bytes: [UInt8]) throws(ProtobufError) {
        let message = try Unpacked("google.protobuf.Any", bytes, google__protobuf__any__unpack)
        self = AnyMessage(message.pointer.pointee)
    }

    init(_ message: Google__Protobuf__Any) {
        self.init(typeURL: String(cString: message.type_url), value: [UInt8](message.value))
    }

    init?(_ pointer: UnsafeMutablePointer<Google__Protobuf__Any>?) {
        guard let pointer else { return nil }
        self.init(pointer.pointee)
    }

    package func encoded() -> [UInt8] {
        let arena = MessageArena()
        return arena.pack(arena.any(self))
    }
}

/// Seconds and nanoseconds since 1970, UTC: `google.protobuf.Timestamp`.
package struct Timestamp: Sendable, Equatable {
    package var seconds: Int64
    package var nanoseconds: Int32

    package init(seconds: Int64, nanoseconds: Int32) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }
}

extension [UInt8] {
    init(_ data: ProtobufCBinaryData) { self = data.len == 0 ? [] : Array(UnsafeBufferPointer(start: data.data, count: data.len)) }
}

/// A message that libprotobuf-c has unpacked, freed with this value.
struct Unpacked<M>: ~Copyable {
    let pointer: UnsafeMutablePointer<M>

    /// - Parameter unpack: the generated function, as in `containerd__task__v3__start_request__unpack`.
    init(_ name: String, _ bytes: [UInt8], _ unpack: (UnsafeMutablePointer<ProtobufCAllocator>?, Int, UnsafePointer<UInt8>?) -> UnsafeMutablePointer<M>?) throws(ProtobufError) {
        let unpacked = bytes.withUnsafeBufferPointer { buffer -> UnsafeMutablePointer<M>? in
            // An empty message is zero bytes long; the C side wants an address all the same.
            var nothing: UInt8 = 0
            if let base = buffer.baseAddress { return unpack(nil, buffer.count, base) }
            return withUnsafePointer(to: &nothing) { unpack(nil, 0, $0) }
        }
        guard let unpacked else { throw ProtobufError(message: name) }
        pointer = unpacked
    }

    deinit {
        pointer.withMemoryRebound(to: ProtobufCMessage.self, capacity: 1) { protobuf_c_message_free_unpacked($0, nil) }
    }
}

/// Builds messages to be packed and owns every string and message inside them until it goes.
package final class MessageArena {
    private var blocks: [UnsafeMutableRawPointer] = []

    package init() {}

    /// A message with its default values, set up by the generated `…__init`.
    package func make<M>(_ initialize: (UnsafeMutablePointer<M>?) -> Void) -> UnsafeMutablePointer<M> {
        let pointer = UnsafeMutablePointer<M>.allocate(capacity: 1)
        initialize(pointer)
        blocks.append(pointer)
        return pointer
    }

    package func string(_ text: String) -> UnsafeMutablePointer<CChar> {
        var text = text
        return text.withUTF8 { utf8 in
            let copy = UnsafeMutablePointer<CChar>.allocate(capacity: utf8.count + 1)
            for (index, byte) in utf8.enumerated() { copy[index] = CChar(bitPattern: byte) }
            copy[utf8.count] = 0
            blocks.append(copy)
            return copy
        }
    }

    package func bytes(_ bytes: [UInt8]) -> ProtobufCBinaryData {
        guard !bytes.isEmpty else { return ProtobufCBinaryData(len: 0, data: nil) }
        let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: bytes.count)
        copy.initialize(from: bytes, count: bytes.count)
        blocks.append(copy)
        return ProtobufCBinaryData(len: bytes.count, data: copy)
    }

    package func list<M>(_ pointers: [UnsafeMutablePointer<M>]) -> UnsafeMutablePointer<UnsafeMutablePointer<M>?>? {
        guard !pointers.isEmpty else { return nil }
        let array = UnsafeMutablePointer<UnsafeMutablePointer<M>?>.allocate(capacity: pointers.count)
        for (index, pointer) in pointers.enumerated() { array[index] = pointer }
        blocks.append(array)
        return array
    }

    package func numbers(_ values: [UInt64]) -> UnsafeMutablePointer<UInt64>? {
        guard !values.isEmpty else { return nil }
        let array = UnsafeMutablePointer<UInt64>.allocate(capacity: values.count)
        array.initialize(from: values, count: values.count)
        blocks.append(array)
        return array
    }

    package func strings(_ texts: [String]) -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? { list(texts.map(string)) }

    package func any(_ value: AnyMessage) -> UnsafeMutablePointer<Google__Protobuf__Any> {
        let message = make(google__protobuf__any__init)
        message.pointee.type_url = string(value.typeURL)
        message.pointee.value = bytes(value.value)
        return message
    }

    package func timestamp(_ value: Timestamp?) -> UnsafeMutablePointer<Google__Protobuf__Timestamp>? {
        guard let value else { return nil }
        let message = make(google__protobuf__timestamp__init)
        message.pointee.seconds = value.seconds
        message.pointee.nanos = value.nanoseconds
        return message
    }

    /// The message on the wire. `M` is a generated type, which starts with its ProtobufCMessage.
    package func pack<M>(_ message: UnsafeMutablePointer<M>) -> [UInt8] {
        message.withMemoryRebound(to: ProtobufCMessage.self, capacity: 1) { base in
            let size = protobuf_c_message_get_packed_size(base)
            return [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
                if let start = buffer.baseAddress { count = protobuf_c_message_pack(base, start) }
            }
        }
    }

    deinit { for block in blocks { block.deallocate() } }
}
