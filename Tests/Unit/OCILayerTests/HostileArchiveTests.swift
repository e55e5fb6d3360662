@testable import OCILayer
import Testing

/// One raw header block.
func header(
    name: String, type: Character, size: String = "00000000000", link: String = "", magic: String = "ustar\u{0}00", mode: String = "0000644", uid: String = "0000000",
    mtime: String = "00000000000", patch: ((inout [UInt8]) -> Void)? = nil
) -> [UInt8] {
    var block = [UInt8](repeating: 0, count: 512)
    func put(_ text: String, _ offset: Int) { for (index, byte) in text.utf8.enumerated() { block[offset + index] = byte } }
    put(name, 0)
    put(mode, 100)
    put(uid, 108)
    put("0000000", 116)
    put(size, 124)
    put(mtime, 136)
    block[156] = type.asciiValue ?? 0
    put(link, 157)
    put(magic, 257)
    patch?(&block)
    let sum = block.enumerated().reduce(0) { $0 + Int((148..<156).contains($1.offset) ? 0x20 : $1.element) }
    let digits = String(sum, radix: 8)
    put(String(repeating: "0", count: 6 - digits.count) + digits + "\u{0} ", 148)
    return block
}

func padded(_ bytes: [UInt8]) -> [UInt8] { bytes + [UInt8](repeating: 0, count: (512 - bytes.count % 512) % 512) }

func octal(_ number: Int) -> String {
    let digits = String(number, radix: 8)
    return String(repeating: "0", count: 11 - digits.count) + digits
}

func record(_ key: String, _ value: String) -> [UInt8] {
    let rest = key.utf8.count + value.utf8.count + 3
    var length = rest + "\(rest)".count
    if rest + "\(length)".count != length { length = rest + "\(length)".count }
    return Array("\(length) \(key)=\(value)\n".utf8)
}

func pax(_ records: [UInt8], type: Character = "x") -> [UInt8] {
    header(name: "PaxHeaders/x", type: type, size: octal(records.count)) + padded(records)
}

@Suite struct HostileArchiveTests {
    private let end = [UInt8](repeating: 0, count: 1024)

    @Test func `GNU long names and links are read`() throws {
        let name = Array("n".repeated(300).utf8) + [0], link = Array("l".repeated(200).utf8) + [0]
        let bytes =
            header(name: "././@LongLink", type: "L", size: octal(name.count), magic: "ustar  \u{0}") + padded(name)
            + header(name: "././@LongLink", type: "K", size: octal(link.count), magic: "ustar  \u{0}") + padded(link)
            + header(name: "short", type: "2", magic: "ustar  \u{0}") + end
        let entry = try #require(try members(bytes).first?.entry)
        #expect(entry.path == Array("n".repeated(300).utf8))
        #expect(entry.linkTarget == Array("l".repeated(200).utf8))
    }

    @Test func `a base-256 size and owner are read`() throws {
        let bytes = header(name: "f", type: "0") { block in
            block[124..<136] = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]
            block[108..<116] = [0x80, 0, 0, 0, 0xee, 0x6b, 0x28, 0x00]
        } + padded([1, 2, 3]) + end
        let member = try #require(try members(bytes).first)
        #expect(member.content == [1, 2, 3])
        #expect(member.entry.uid == 4_000_000_000)
    }

    @Test func `sparse files of every kind have their holes`() throws {
        let data = [UInt8](repeating: 7, count: 512)
        // Old GNU: two parts of 256 bytes at 512 and 2048 in a file of 4096.
        let old = header(name: "s", type: "S", size: octal(512), magic: "ustar  \u{0}") { block in
            for (offset, text) in [(386, octal(512)), (398, octal(256)), (410, octal(2048)), (422, octal(256)), (483, octal(4096))] {
                for (index, byte) in text.utf8.enumerated() { block[offset + index] = byte }
            }
        } + data + end
        let version01 = pax(record("GNU.sparse.map", "512,256,2048,256") + record("GNU.sparse.size", "4096") + record("GNU.sparse.name", "s"))
            + header(name: "GNUSparseFile.0/s", type: "0", size: octal(512)) + data + end
        let map = padded(Array("2\n512\n256\n2048\n256\n".utf8))
        let version10 = pax(
            record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") + record("GNU.sparse.realsize", "4096") + record("GNU.sparse.name", "s"))
            + header(name: "GNUSparseFile.0/s", type: "0", size: octal(1024)) + map + data + end
        for bytes in [old, version01, version10] {
            let reader = TarReader(Bytes(bytes))
            let entry = try #require(try reader.next())
            #expect(entry.path == Array("s".utf8))
            #expect(entry.size == 4096)
            var parts: [(Int64, Int)] = []
            while let (offset, chunk) = try reader.nextChunk() { parts.append((offset, chunk.count)) }
            #expect(parts.map(\.0) == [512, 2048])
            #expect(parts.map(\.1) == [256, 256])
            #expect(try reader.next() == nil)
        }
    }

    @Test(arguments: ["512,256,256,256", "0,99999999999", "5000,12", "-1,4", "0,512,512,1"])
    func `a sparse map that is out of order or does not add up is refused`(map: String) {
        let bytes = pax(record("GNU.sparse.map", map) + record("GNU.sparse.size", "4096")) + header(name: "s", type: "0", size: octal(512))
            + [UInt8](repeating: 0, count: 512) + end
        #expect(throws: TarError.self) { _ = try members(bytes) }
    }

    @Test func `access lists written as text become the kernel's attribute`() throws {
        let bytes = pax(record("SCHILY.acl.access", "user::rw-,user:lisa:r--:1000,group::r--,mask::r--,other::---")) + header(name: "f", type: "0") + end
        let attribute = try #require(try members(bytes).first?.entry.xattrs.first)
        #expect(attribute.name == Array("system.posix_acl_access".utf8))
        #expect(attribute.value.count == 4 + 5 * 8)
        #expect(Array(attribute.value[0..<8]) == [2, 0, 0, 0, 1, 0, 6, 0])
        #expect(Array(attribute.value[12..<20]) == [2, 0, 4, 0, 0xe8, 3, 0, 0])
    }

    @Test func `libarchive's attributes are decoded`() throws {
        let bytes = pax(record("LIBARCHIVE.xattr.user.a%20b", "AQID")) + header(name: "f", type: "0") + end
        #expect(try members(bytes).first?.entry.xattrs == [ExtendedAttribute(name: Array("user.a b".utf8), value: [1, 2, 3])])
    }

    @Test(arguments: [
        Array("4 a=\n".utf8), Array("99 path=x\n".utf8), Array("0 path=x\n".utf8), Array("11 path=xyz".utf8), Array("12 size=abc\n".utf8), Array(" path=x\n".utf8),
        Array("18446744073709551626 a=b\n".utf8),
    ])
    func `a malformed record is refused`(records: [UInt8]) {
        #expect(throws: TarError.self) { _ = try members(pax(records) + header(name: "f", type: "0") + end) }
    }

    @Test func `a bad checksum, a negative size, an unknown type and a cut archive are refused`() throws {
        var bad = header(name: "f", type: "0")
        bad[0] ^= 1
        #expect(throws: TarError.self) { _ = try members(bad + end) }
        #expect(throws: TarError.self) {
            _ = try members(header(name: "f", type: "0") { $0[124..<136] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff] } + end)
        }
        #expect(throws: TarError.self) { _ = try members(header(name: "f", type: "Z") + end) }
        #expect(throws: TarError.self) { _ = try members(header(name: "f", type: "0", size: octal(2000)) + [1, 2, 3]) }
        #expect(throws: TarError.self) { _ = try members(Array(header(name: "f", type: "0").prefix(300))) }
    }

    @Test func `an owner that chown would take for "leave it" is refused`() {
        #expect(throws: TarError.self) { _ = try members(pax(record("uid", "4294967295")) + header(name: "f", type: "0") + end) }
        #expect(throws: TarError.self) { _ = try members(pax(record("gid", "-1")) + header(name: "f", type: "0") + end) }
    }

    @Test func `a record of a gigabyte costs no memory`() {
        #expect(throws: TarError.self) { _ = try members(header(name: "x", type: "x", size: octal(1 << 30)) + end) }
        #expect(throws: TarError.self) { _ = try members(header(name: "x", type: "L", size: octal(1 << 30)) + end) }
    }

    @Test func `limits on members and content hold`() throws {
        var limits = TarLimits()
        limits.entries = 2
        limits.contentBytes = 1000
        let file = header(name: "f", type: "0", size: octal(600)) + [UInt8](repeating: 0, count: 1024)
        #expect(throws: TarError.self) { _ = try members(file + file + end, limits: limits) }
        let empty = header(name: "f", type: "0")
        #expect(try members(empty + empty + end, limits: limits).count == 2)
        #expect(throws: TarError.self) { _ = try members(empty + empty + empty + end, limits: limits) }
    }

    @Test func `random bytes never crash the reader`() {
        var generator = SplitMix(state: 42)
        for _ in 0..<300 {
            var bytes = header(name: "f", type: "0", size: octal(100)) + padded([UInt8](repeating: 1, count: 100)) + pax(record("path", "x")) + header(name: "g", type: "5") + end
            for _ in 0..<Int.random(in: 1...40, using: &generator) {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            // With its checksums put right, so that the change gets past them.
            for start in stride(from: 0, to: bytes.count - 511, by: 512) {
                let block = bytes[start..<(start + 512)]
                let sum = block.enumerated().reduce(0) { $0 + Int((148..<156).contains($1.offset) ? 0x20 : $1.element) }
                let digits = String(sum, radix: 8)
                let text = Array((String(repeating: "0", count: max(0, 6 - digits.count)) + digits + "\u{0} ").utf8)
                if bytes[start] != 0 { bytes.replaceSubrange((start + 148)..<(start + 156), with: text) }
            }
            _ = try? members(bytes)
        }
    }
}

struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

@Suite struct WhiteoutTests {
    @Test func `whiteouts are told from names`() {
        #expect(Whiteout(baseName: Array("file".utf8)) == nil)
        #expect(Whiteout(baseName: Array(".wh".utf8)) == nil)
        #expect(Whiteout(baseName: Array(".wh.file".utf8)) == .removes(Array("file".utf8)))
        #expect(Whiteout(baseName: Array(".wh..wh..opq".utf8)) == .opaque)
        #expect(Whiteout(baseName: Array(".wh..wh.plnk".utf8)) == .bookkeeping)
        #expect(Whiteout(baseName: Array(".wh.".utf8)) == .malformed)
        #expect(Whiteout(baseName: Array(".wh...".utf8)) == .malformed)
    }
}
