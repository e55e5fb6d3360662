import Testing
@testable import LinuxSystem

@Suite struct `The mount that holds a path` {
    private static let table = """
        22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
        30 22 0:30 / /run rw,nosuid shared:5 - tmpfs tmpfs rw
        31 22 8:1 /home /srv/with\\040blank rw master:9 - ext4 /dev/sda1 rw
        32 22 0:40 / /srv/stacked rw shared:7 - tmpfs tmpfs rw
        33 32 0:41 / /srv/stacked rw - tmpfs tmpfs rw

        """

    @Test(arguments: [
        ("/etc", "/", true, false), ("/run", "/run", true, false), ("/run/berth/shims", "/run", true, false), ("/running", "/", true, false),
        ("/srv/with blank/file", "/srv/with blank", false, true), ("/srv/stacked/a", "/srv/stacked", false, false),
    ])
    func `is the longest one, and of stacked ones the top`(path: String, point: String, shared: Bool, slave: Bool) {
        #expect(HoldingMount.of(path, in: Self.table) == HoldingMount(path: point, isShared: shared, isSlave: slave))
    }
}
