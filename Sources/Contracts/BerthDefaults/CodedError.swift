/// Why something could not be had: a code for programs and one line for people.
package struct CodedError: Error, Sendable, Equatable, CustomStringConvertible {
    package let code: ErrorCode
    package let message: String

    package init(_ code: ErrorCode, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}
