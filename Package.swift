// swift-tools-version: 6.2
// The targets stand in the order of the diagram in Sources/README.md: programs, contracts, kernel wrappers. Imports only go down.
import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("ExistentialAny"),
    .treatAllWarnings(as: .error),
]

/// Set by `make test-unit` and `make test-root`: a test bundle links a program's code, and must not inherit the way the program itself is linked.
let testing = Context.environment["BERTH_TESTING"] != nil

/// For everything below the dotted line of the diagram: without Swift's regular expressions, a megabyte that a single `contains(String)` links in, and
/// without Concurrency, whose use is an error this way.
/// A function is a section of its own, so that the linker can leave it out or place it (contrib/link/runtime.ld). Generic types are made known by calls that
/// name their parts, and not by a text that the library takes apart and looks up among all types and conformances: half of the instructions of a `create` were that.
let light: [SwiftSetting] =
    strict + [
        .unsafeFlags(["-Xfrontend", "-disable-implicit-string-processing-module-import", "-Xfrontend", "-disable-implicit-concurrency-module-import"]),
        .unsafeFlags(["-Xfrontend", "-function-sections", "-Xfrontend", "-disable-concrete-type-metadata-mangled-name-accessors"], .when(configuration: .release)),
    ]

/// The shim, the runtime and the init: fully static, position dependent, so that they start in under a millisecond and share no library with anybody.
/// Identical functions are one, and the tables for unwinding the stack, an eighth of the program that nobody reads, are left out.
/// Segments have the same place in 64 KB in memory as in the file: around a fault the kernel maps 64 KB of memory, and more where a large piece of the page cache reaches into them.
/// - Parameter order: a linker script that places the functions a command uses beside one another: they are a tenth of the program's pages.
func staticProgram(order: String? = nil) -> [LinkerSetting] {
    if testing { return [] }
    let folder = "\(Context.packageDirectory)/contrib/link"
    let scripts = (order.map { [$0] } ?? []) + ["static.ld"]
    let options = ["--gc-sections", "--icf=all", "--no-eh-frame-hdr", "-z", "max-page-size=65536"] + scripts.flatMap { ["-T", "\(folder)/\($0)"] }
    return [.unsafeFlags(["-static-executable", "-use-ld=lld"] + options.flatMap { ["-Xlinker", $0] }, .when(platforms: [.linux]))]
}

/// The daemons and the client: Swift's library inside the program. This halves the anonymous memory of an idle daemon.
/// The C halves of Foundation are named because the autolink entries of a shared build leave them out.
/// lld links ten times faster than the default linker and keeps data out of executable pages. No symbol is exported: that alone would keep unused code alive. The image base is not a multiple of
/// 2 MiB, so that the kernel maps the pages that are used and not two megabytes around each of them.
let selfContained: [LinkerSetting] = testing ? [] : [
    .unsafeFlags(
        [
            "-static-stdlib", "-use-ld=lld", "-Xlinker", "--no-export-dynamic", "-Xlinker", "--image-base=0x210000", "-Xlinker", "--gc-sections", "-Xclang-linker", "-no-pie",
            "-lCoreFoundation", "-l_FoundationICU", "-l_FoundationCShims", "-l_FoundationCollections", "-lstdc++",
        ], .when(platforms: [.linux]))
]

let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
]

func tests(_ name: String, _ folder: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, path: "Tests/\(folder)/\(name)", swiftSettings: strict)
}

/// Set by `make fuzz`: libFuzzer brings the main function, and everything is built with its instrumentation.
let fuzzing: [Target] = Context.environment["BERTH_FUZZING"] == nil ? [] : [
    .executableTarget(
        name: "parser-fuzzer", dependencies: ["OCILayer", "OCISpec", "JSONCodec"], path: "Tests/Fuzz/ParserFuzzer",
        swiftSettings: strict + [.unsafeFlags(["-parse-as-library"])])
]

let package = Package(
    name: "berth",
    products: [
        .executable(name: "berth", targets: ["berth"]),
        .executable(name: "berthd", targets: ["berthd"]),
        .executable(name: "berth-supervisor", targets: ["berth-supervisor"]),
        .executable(name: "berth-shim", targets: ["berth-shim"]),
        .executable(name: "berth-runtime", targets: ["berth-runtime"]),
        .executable(name: "berth-init", targets: ["berth-init"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    ],
    targets: [
        // Programs
        .executableTarget(
            name: "berth",
            dependencies: ["DockerAPI", "OCILayer", "BerthDefaults", "LinuxSystem"],
            swiftSettings: strict, linkerSettings: selfContained),
        .executableTarget(
            name: "berthd",
            dependencies: [
                "DockerAPI", "ContainerdAPI", "GRPCSocket", "DurableStore", "Registry", "OCISpec", "JSONCodec", "OCILayer", "BerthDefaults", "LinuxSystem", "Netlink",
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOWebSocket", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ] + nio,
            swiftSettings: strict, linkerSettings: selfContained),
        .executableTarget(
            name: "berth-supervisor",
            dependencies: [
                "ContainerdAPI", "GRPCSocket", "DurableStore", "Registry", "OCISpec", "JSONCodec", "OCILayer", "BerthDefaults", "LinuxSystem", "Cgroups", "CISAL", "CZstd",
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ] + nio,
            swiftSettings: strict, linkerSettings: selfContained),
        .executableTarget(
            name: "berth-shim",
            dependencies: ["TaskAPI", "JSONCodec", "OCISpec", "BerthDefaults", "LinuxSystem", "Cgroups", "CProtobufC", "StaticUnicode", "StaticStart"],
            swiftSettings: light, linkerSettings: staticProgram()),
        .executableTarget(
            name: "berth-runtime",
            dependencies: ["OCISpec", "JSONCodec", "BerthDefaults", "LinuxSystem", "Cgroups", "Netlink", "SystemdBus", "CSeccomp", "CCap", "StaticUnicode", "StaticStart"],
            swiftSettings: light, linkerSettings: staticProgram(order: "runtime.ld")),
        .executableTarget(
            name: "berth-init", dependencies: ["LinuxSystem", "StaticUnicode", "StaticStart"], swiftSettings: light, linkerSettings: staticProgram()),

        // Contracts: what two programs share
        .target(name: "DockerAPI", path: "Sources/Contracts/DockerAPI", swiftSettings: strict),
        .target(
            name: "ContainerdAPI", dependencies: ["GRPCSocket", .product(name: "SwiftProtobuf", package: "swift-protobuf")],
            path: "Sources/Contracts/ContainerdAPI", exclude: ["protos"], swiftSettings: strict),
        .target(
            name: "GRPCSocket",
            dependencies: [
                "BerthDefaults",
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ] + nio,
            path: "Sources/Contracts/GRPCSocket", swiftSettings: strict),
        .target(
            name: "DurableStore",
            dependencies: [
                .product(name: "GRDB", package: "GRDB.swift"), .product(name: "GRDBSQLite", package: "GRDB.swift"), .product(name: "NIOPosix", package: "swift-nio"),
            ],
            path: "Sources/Contracts/DurableStore", swiftSettings: strict),
        .target(
            name: "Registry",
            dependencies: [
                "OCISpec", "BerthDefaults", "LinuxSystem",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Crypto", package: "swift-crypto"),
            ] + nio,
            path: "Sources/Contracts/Registry", swiftSettings: strict),
        .target(name: "OCILayer", dependencies: ["LinuxSystem"], path: "Sources/Contracts/OCILayer", swiftSettings: light),
        // Below this line: no Foundation, no Concurrency, no Dispatch.
        .target(name: "TaskAPI", dependencies: ["CProtobufC"], path: "Sources/Contracts/TaskAPI", exclude: ["protos", "generate.sh"], swiftSettings: light),
        .target(name: "OCISpec", dependencies: ["JSONCodec"], path: "Sources/Contracts/OCISpec", swiftSettings: light),
        .target(name: "JSONCodec", path: "Sources/Contracts/JSONCodec", swiftSettings: light),
        .target(name: "BerthDefaults", path: "Sources/Contracts/BerthDefaults", swiftSettings: light),

        // Linux: the kernel and the system's C libraries
        .target(name: "Netlink", dependencies: ["LinuxSystem", "CLinux"], path: "Sources/Linux/Netlink", swiftSettings: light),
        .target(name: "SystemdBus", dependencies: ["LinuxSystem"], path: "Sources/Linux/SystemdBus", swiftSettings: light),
        .target(name: "Cgroups", dependencies: ["LinuxSystem", "CLinux"], path: "Sources/Linux/Cgroups", swiftSettings: light),
        .target(name: "LinuxSystem", dependencies: ["CLinux"], path: "Sources/Linux/LinuxSystem", swiftSettings: light),
        .target(name: "StaticUnicode", path: "Sources/Linux/StaticUnicode", swiftSettings: light + (testing ? [] : [.define("BERTH_STATIC")])),
        .target(name: "StaticStart", path: "Sources/Linux/StaticStart", cSettings: testing ? [] : [.define("BERTH_STATIC")]),
        .target(name: "CLinux", path: "Sources/Linux/CLinux"),
        .systemLibrary(name: "CSeccomp", path: "Sources/Linux/CSeccomp", pkgConfig: "libseccomp", providers: [.apt(["libseccomp-dev"])]),
        .systemLibrary(name: "CCap", path: "Sources/Linux/CCap", pkgConfig: "libcap", providers: [.apt(["libcap-dev"])]),
        .systemLibrary(name: "CISAL", path: "Sources/Linux/CISAL", pkgConfig: "libisal", providers: [.apt(["libisal-dev"])]),
        .systemLibrary(name: "CZstd", path: "Sources/Linux/CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .target(
            name: "CProtobufC", path: "Sources/Linux/CProtobufC",
            linkerSettings: [.linkedLibrary("protobuf-c")]),

        // Tests
        tests("OCISpecTests", "Unit", ["OCISpec", "JSONCodec"]),
        tests("JSONCodecTests", "Unit", ["JSONCodec", "OCISpec"]),
        tests("OCILayerTests", "Unit", ["OCILayer"]),
        tests("SupervisorStorageTests", "Unit", ["berth-supervisor", "Registry", "BerthDefaults", "OCILayer", "OCISpec", "LinuxSystem"] + nio),
        tests("CgroupsTests", "Unit", ["Cgroups"]),
        tests("LinuxSystemTests", "Unit", ["LinuxSystem"]),
        tests("DockerAPITests", "Unit", ["DockerAPI"]),
        tests(
            "BerthdTests", "Unit",
            ["berthd", "DockerAPI", "OCISpec", "BerthDefaults", .product(name: "NIOHTTP1", package: "swift-nio"), .product(name: "NIOCore", package: "swift-nio")]),
        tests("SystemdBusTests", "Unit", ["SystemdBus", "LinuxSystem"]),
        tests("CgroupsRootTests", "Root", ["Cgroups", "LinuxSystem"]),
        tests("BerthRuntimeTests", "Unit", ["berth-runtime", "Cgroups", "SystemdBus", "OCISpec", "JSONCodec", "BerthDefaults", "LinuxSystem", "CSeccomp"]),
        tests(
            "SupervisorRootTests", "Root",
            ["berth-supervisor", "OCILayer", "LinuxSystem", "BerthDefaults", .product(name: "NIOPosix", package: "swift-nio")]),
        tests("BerthRuntimeRootTests", "Root", ["LinuxSystem", "OCISpec", "Cgroups", "berth-runtime"]),
        tests("TaskAPITests", "Unit", ["TaskAPI"]),
        tests("BerthShimRootTests", "Root", ["TaskAPI", "LinuxSystem"]),
        tests("BerthShimTests", "Unit", ["berth-shim", "TaskAPI", "LinuxSystem", "Cgroups"]),
        tests("NetlinkTests", "Unit", ["Netlink", "LinuxSystem"]),
        tests(
            "BerthdNetworkTests", "Unit",
            ["berthd", "DockerAPI", "ContainerdAPI", "OCISpec", "LinuxSystem", "Netlink", "BerthDefaults", .product(name: "Crypto", package: "swift-crypto")]),
        tests("NetworkRootTests", "Root", ["berthd", "Netlink", "LinuxSystem"]),
        tests(
            "BerthSupervisorTests", "Unit",
            [
                "berth-supervisor", "ContainerdAPI", "GRPCSocket", "BerthDefaults",
                .product(name: "GRDB", package: "GRDB.swift"), .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ] + nio),
        tests(
            "GRPCSocketTests", "Unit",
            ["GRPCSocket", "ContainerdAPI", "BerthDefaults", .product(name: "SwiftProtobuf", package: "swift-protobuf")] + nio),
    ] + fuzzing
)
