import OCISpec
import Testing

@testable import berth_runtime

@Suite struct MemoryPolicyTests {
    @Test func `mode and flags become the kernel's number`() throws {
        let plan = try MemoryPolicy.check(.init(mode: "MPOL_BIND", nodes: "0-1,3", flags: ["MPOL_F_STATIC_NODES"]))
        #expect(plan.mode == 2 | 1 << 15 && plan.nodes == [0, 1, 3])
    }

    @Test(arguments: [
        (nil, "0", [], "invalid memory policy mode"), ("INTERLEAVE", "0", [], "invalid memory policy mode"), ("MPOL_BIND", "0", ["x"], "invalid memory policy flag"),
        ("MPOL_DEFAULT", "0-7", [], "mode requires 0 nodes but got 8"), ("MPOL_BIND", "0-9876543210", [], "invalid memory policy node"),
    ] as [(String?, String, [String], String)])
    func `what cannot be a policy is refused before anything is made`(mode: String?, nodes: String, flags: [String], words: String) {
        let error = #expect(throws: RuntimeError.self) { try MemoryPolicy.check(.init(mode: mode, nodes: nodes, flags: flags)) }
        #expect(error?.message.contains(words) == true)
    }

    @Test func `numbers become a mask as debug lines show it`() {
        #expect(NumberList.mask([1]) == "2" && NumberList.mask([0, 1]) == "3" && NumberList.mask([4, 11]) == "810")
    }
}
