// In place of Unicode's properties in the static programs.
//
// libswiftCore.a has 670 KB of tables, names of characters among them, in one object that anything about a character links in. What shim and runtime read and write are paths, options and
// numbers: only ASCII has upper and lower case here, and nothing else is asked (contrib/dev/check.sh looks for it). As these functions are here, the linker does not take that object.
//
// Only linked into the programs themselves: a test bundle has Swift's library beside it, not inside (BERTH_STATIC in Package.swift).
#if BERTH_STATIC

    @_cdecl("_swift_stdlib_getBinaryProperties")
    func binaryProperties(_ scalar: UInt32) -> UInt64 { 0 }

    @_cdecl("_swift_stdlib_getNumericType")
    func numericType(_ scalar: UInt32) -> UInt8 { .max }

    @_cdecl("_swift_stdlib_getNumericValue")
    func numericValue(_ scalar: UInt32) -> Double { 0 }

    @_cdecl("_swift_stdlib_getNameAlias")
    func nameAlias(_ scalar: UInt32) -> UnsafePointer<CChar>? { nil }

    @_cdecl("_swift_stdlib_getMapping")
    func mapping(_ scalar: UInt32, _ mapping: UInt8) -> Int32 { 0 }

    @_cdecl("_swift_stdlib_getScalarName")
    func scalarName(_ scalar: UInt32, _ buffer: UnsafeMutablePointer<UInt8>?, _ capacity: Int) -> Int { 0 }

    @_cdecl("_swift_stdlib_getAge")
    func age(_ scalar: UInt32) -> UInt16 { .max }

    @_cdecl("_swift_stdlib_getGeneralCategory")
    func generalCategory(_ scalar: UInt32) -> UInt8 { .max }

    @_cdecl("_swift_stdlib_getScript")
    func script(_ scalar: UInt32) -> UInt8 { .max }

    @_cdecl("_swift_stdlib_getSpecialMapping")
    func specialMapping(_ scalar: UInt32, _ mapping: UInt8, _ length: UnsafeMutablePointer<Int>) -> UnsafePointer<UInt8>? {
        length.pointee = 0
        return nil
    }

    @_cdecl("_swift_stdlib_getScriptExtensions")
    func scriptExtensions(_ scalar: UInt32, _ count: UnsafeMutablePointer<UInt8>) -> UnsafePointer<UInt8>? {
        count.pointee = 0
        return nil
    }

    @_cdecl("_swift_stdlib_getCaseMapping")
    func caseMapping(_ scalar: UInt32, _ buffer: UnsafeMutablePointer<UInt32>) { buffer.pointee = scalar }

#endif
