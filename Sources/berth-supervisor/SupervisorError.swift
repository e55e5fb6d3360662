/// The supervisor's one error: a code for programs and one line for people.
typealias SupervisorError = StorageError
