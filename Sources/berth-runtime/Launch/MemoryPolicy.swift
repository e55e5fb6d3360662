import BerthDefaults
import LinuxSystem
import OCISpec

/// NUMA policy. Spec: config-linux.md#memory-policy; set_mempolicy(2).
enum MemoryPolicy {
    static let modes: [String: CInt] = [
        "MPOL_DEFAULT": 0, "MPOL_PREFERRED": 1, "MPOL_BIND": 2, "MPOL_INTERLEAVE": 3, "MPOL_LOCAL": 4, "MPOL_PREFERRED_MANY": 5, "MPOL_WEIGHTED_INTERLEAVE": 6,
    ]
    static let flags: [String: CInt] = ["MPOL_F_STATIC_NODES": 1 << 15, "MPOL_F_RELATIVE_NODES": 1 << 14, "MPOL_F_NUMA_BALANCING": 1 << 13]

    static func apply(_ policy: RuntimeSpec.Linux.MemoryPolicy) throws(RuntimeError) {
        let (mode, nodes) = try check(policy)
        try attempt { () throws(SystemError) in try ProcessAttributes.setMemoryPolicy(mode: mode, nodes: nodes) }
    }

    /// Mode and nodes in the kernel's numbers.
    @discardableResult
    static func check(_ policy: RuntimeSpec.Linux.MemoryPolicy) throws(RuntimeError) -> (mode: CInt, nodes: [Int]) {
        let name = policy.mode ?? ""
        guard var mode = modes[name] else { throw RuntimeError(.invalidArgument, "linux.memoryPolicy.mode: invalid memory policy mode \"\(name)\"") }
        for name in policy.flags {
            guard let flag = flags[name] else { throw RuntimeError(.invalidArgument, "linux.memoryPolicy.flags: invalid memory policy flag \"\(name)\"") }
            mode |= flag
        }
        let nodes = try NumberList.parse(policy.nodes ?? "", field: "linux.memoryPolicy.nodes: invalid memory policy node", limit: 1024)
        if name == "MPOL_DEFAULT" || name == "MPOL_LOCAL", !nodes.isEmpty {
            throw RuntimeError(.invalidArgument, "linux.memoryPolicy: \(name) mode requires 0 nodes but got \(nodes.count)")
        }
        return (mode, nodes)
    }
}

/// Lists such as "0-3,7".
enum NumberList {
    /// - Throws: `invalidArgument` for anything else, and for numbers from `limit` on: a range of billions is refused without being counted.
    static func parse(_ text: String, field: String, limit: Int) throws(RuntimeError) -> [Int] {
        var result: [Int] = []
        for part in text.fields(by: ",") {
            let ends = part.fields(by: "-", keepsEmpty: true).map { Int($0) }
            guard ends.count <= 2, let first = ends.first ?? nil, let last = ends.last ?? nil, first >= 0, first <= last, last < limit else {
                throw RuntimeError(.invalidArgument, "\(field): \"\(text)\" is not a list of numbers below \(limit)")
            }
            result += first...last
        }
        return result
    }

    /// The numbers as bits of one in hexadecimal digits.
    static func mask(_ numbers: [Int]) -> String {
        var digits = [UInt8](repeating: 0, count: (numbers.max() ?? 0) / 4 + 1)
        for number in numbers { digits[number / 4] |= 1 << UInt8(number % 4) }
        return String(decoding: digits.reversed().map { Array("0123456789abcdef".utf8)[Int($0)] }, as: UTF8.self)
    }
}
