/// A run of the runtime's `delete` whose result is wanted now or later.
final class Deletion {
    private typealias Outcome = Result<Void, RuntimeInvocation.Failure>

    private var outcome: Outcome?
    private var waiting: [(Outcome) -> Void] = []

    func end(_ result: Result<Void, RuntimeInvocation.Failure>) {
        outcome = result
        for completion in waiting { completion(result) }
        waiting = []
    }

    /// Calls `completion` with the result, at once if it is there.
    func whenEnded(_ completion: @escaping (Result<Void, RuntimeInvocation.Failure>) -> Void) {
        if let outcome { completion(outcome) } else { waiting.append(completion) }
    }
}
