import JSONCodec
import OCISpec
import Testing

/// A generator with a seed, so that a failure can be repeated.
private struct Seeded: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        // SplitMix64.
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

@Suite struct FuzzTests {
    private func value(_ random: inout Seeded, depth: Int) -> JSONValue {
        switch Int.random(in: 0..<(depth > 0 ? 8 : 6), using: &random) {
        case 0: .null
        case 1: .bool(.random(using: &random))
        case 2: .integer(.random(in: .min ... .max, using: &random))
        case 3: .unsigned(.random(in: UInt64(Int64.max) + 1 ... .max, using: &random))
        case 4: .number(Double.random(in: -1...1, using: &random))
        case 5: .string(string(&random))
        case 6: .array((0..<Int.random(in: 0..<6, using: &random)).map { _ in value(&random, depth: depth - 1) })
        default:
            .object(
                Dictionary((0..<Int.random(in: 0..<40, using: &random)).map { _ in (string(&random), value(&random, depth: depth - 1)) }) { $1 })
        }
    }

    private func string(_ random: inout Seeded) -> String {
        var scalars = String.UnicodeScalarView()
        for _ in 0..<Int.random(in: 0..<12, using: &random) {
            if let scalar = Unicode.Scalar(UInt32.random(in: 1...(Bool.random(using: &random) ? 0x7F : 0x10FFFF), using: &random)) { scalars.append(scalar) }
        }
        return String(scalars)
    }

    @Test(arguments: 0..<50 as Range<UInt64>) func `what is written reads back the same`(seed: UInt64) throws {
        var random = Seeded(state: seed)
        let original = value(&random, depth: 5)
        for layout in [JSON.Layout.compact, .indented("\t")] {
            #expect(try JSON.decode(JSONValue.self, from: JSON.encode(original, layout: layout)) == original)
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>) func `a damaged document is refused or read, and never more than that`(seed: UInt64) throws {
        var random = Seeded(state: seed)
        let spec = RuntimeSpec(
            process: .init(args: ["a", "é"], env: ["X=\u{1F600}"], cwd: "/", rlimits: [.init(type: "RLIMIT_NOFILE", soft: 1, hard: .max)]),
            annotations: ["a\n": "\\"], linux: .init(seccomp: .known(.init(defaultAction: "x", syscalls: [.init(names: ["y"], action: "z")]))))
        let text = try JSON.encode(spec)
        for _ in 0..<300 {
            var damaged = text
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let position = Int.random(in: 0..<damaged.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: damaged[position] = .random(in: 0...255, using: &random)
                case 1: damaged.remove(at: position)
                case 2: damaged.insert("{}[],:\"\\u0e-9".utf8.randomElement(using: &random) ?? 0, at: position)
                default: damaged.removeLast(damaged.count - max(position, 1))
                }
            }
            do {
                _ = try JSON.decode(RuntimeSpec.self, from: damaged)
            } catch {
                #expect(!error.description.contains("\n"))
            }
        }
    }
}
