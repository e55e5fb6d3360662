import BerthDefaults

/// Why content, a snapshot, a layer or a transfer could not be had.
typealias StorageError = CodedError

/// Why a call or a flag is refused.
typealias SupervisorError = CodedError
