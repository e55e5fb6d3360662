import GRPCSocket

/// One question to many shims at once, in which one that does not answer holds up none of the others.
enum ShimSurvey {
    /// How long nobody may answer before the rest is given up: with one shim stopped, this is what the whole survey takes, once.
    private static let silence = Duration.milliseconds(250)
    /// In no case longer than this.
    private static let longest = Duration.seconds(2)

    /// - Parameters:
    ///   - question: throws when there is no task to tell of: such a shim is left out.
    ///   - silent: what is said of a shim that did not answer. It is not asked again until it has answered a question that stays open.
    static func ask<Value: Sendable>(
        _ shims: [Shim], _ question: @escaping @Sendable (Shim) async throws(GRPCStatus) -> Value?, silent: @Sendable (Shim) -> Value?
    ) async -> [Value] {
        var values = shims.filter(\.isSilent).compactMap(silent)
        let asked = shims.filter { !$0.isSilent }
        await withTaskGroup(of: Answer<Value>.self) { group in
            for (index, shim) in asked.enumerated() {
                group.addTask {
                    do throws(GRPCStatus) { return .shim(index, try await question(shim), wasGivenUp: false) } catch {
                        return .shim(index, nil, wasGivenUp: error.code == .cancelled || error.code == .deadlineExceeded)
                    }
                }
            }
            let alarm = { @Sendable () async -> Answer<Value> in
                try? await Task.sleep(for: silence)
                return .alarm
            }
            group.addTask(operation: alarm)
            let end = ContinuousClock.now + longest
            var left = asked.count, last = ContinuousClock.now
            while left > 0, let answer = await group.next() {
                switch answer {
                case .alarm:
                    let now = ContinuousClock.now
                    if now - last >= silence || now >= end { group.cancelAll() } else { group.addTask(operation: alarm) }
                case .shim(let index, let value, let wasGivenUp):
                    left -= 1
                    last = .now
                    if let value { values.append(value) }
                    if wasGivenUp {
                        asked[index].fallSilent()
                        if let value = silent(asked[index]) { values.append(value) }
                    }
                }
            }
            group.cancelAll()
        }
        return values
    }

    private enum Answer<Value: Sendable>: Sendable {
        case shim(Int, Value?, wasGivenUp: Bool)
        /// Time to look whether anybody still answers.
        case alarm
    }
}
