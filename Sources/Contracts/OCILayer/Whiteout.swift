/// How a layer says that something of the layers below is gone.
///
/// Spec: OCI image-spec, layer.md#whiteouts. In a layer a deletion is an empty file `.wh.NAME`, and `.wh..wh..opq` says that nothing of the
/// directory below is seen. On disk overlayfs says the same with a character device 0:0 and the attribute `trusted.overlay.opaque`.
package enum Whiteout: Equatable, Sendable {
    /// `NAME` of the same directory is gone.
    case removes([UInt8])
    /// The directory hides what the layers below have in it.
    case opaque
    /// A name of aufs' own bookkeeping (`.wh..wh.aufs`, `.wh..wh.plnk`), nothing of the image.
    case bookkeeping
    /// Starts as a whiteout does, but removes nothing that can be named: `.wh.`, `.wh..`, `.wh...`.
    case malformed

    package static let prefix: [UInt8] = Array(".wh.".utf8)
    package static let opaqueName: [UInt8] = Array(".wh..wh..opq".utf8)
    package static let opaqueAttribute = "trusted.overlay.opaque"

    /// What the last component of a member's path says; `nil` for an ordinary name.
    package init?(baseName: some Collection<UInt8>) {
        // Hot path: one look at the first byte for nearly every name.
        guard baseName.first == UInt8(ascii: "."), baseName.starts(with: Self.prefix) else { return nil }
        let rest = Array(baseName.dropFirst(Self.prefix.count))
        if baseName.elementsEqual(Self.opaqueName) {
            self = .opaque
        } else if rest.starts(with: Self.prefix) {
            self = .bookkeeping
        } else if rest.isEmpty || rest.elementsEqual(".".utf8) || rest.elementsEqual("..".utf8) {
            self = .malformed
        } else {
            self = .removes(rest)
        }
    }

    /// The name under which a layer carries the removal of `name`.
    package static func name(removing name: some Collection<UInt8>) -> [UInt8] { prefix + name }

    /// Whether the attribute is overlayfs' own. A layer that brought one could make the kernel follow a redirect to any directory of the layers
    /// below, so they are never taken from an archive and never written into one.
    package static func isOverlayAttribute(_ name: [UInt8]) -> Bool {
        name.starts(with: "trusted.overlay.".utf8) || name.starts(with: "user.overlay.".utf8)
    }
}
