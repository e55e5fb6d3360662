/// Inode numbers of one file system. File systems give them out in runs, so they are kept as bits: ten million files take some megabytes.
struct InodeSet {
    private var blocks: [UInt64: SIMD8<UInt64>] = [:]

    mutating func insert(_ inode: UInt64) {
        blocks[inode >> 9, default: SIMD8(repeating: 0)][Int(inode >> 6 & 7)] |= 1 << (inode & 63)
    }

    func contains(_ inode: UInt64) -> Bool {
        guard let block = blocks[inode >> 9] else { return false }
        return block[Int(inode >> 6 & 7)] >> (inode & 63) & 1 == 1
    }
}
