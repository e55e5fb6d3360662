/// Sizes of what is measured by walking over its files: containers' layers and volumes.
///
/// What was measured once is known, and only what may have changed is measured again. That happens beside the answer: a caller waits a moment for it and
/// takes the last known size of what is not done by then, so that `system df` takes no longer the more there is.
actor MeasuredSizes {
    struct Item: Sendable {
        var key: String
        /// What is measured under one stamp stays as it is; nil: it may change at any time.
        var stamp: Int64?
    }

    typealias Measure = @Sendable (_ key: String) async -> Int64?

    private struct Known {
        /// nil: there is nothing to measure.
        var size: Int64?
        var stamp: Int64?
    }

    private var known: [String: Known] = [:]
    /// Ends when what is being measured again is done.
    private var round: AsyncStream<Void>?
    private static let parallel = 4

    /// - Parameter patience: how long sizes that are known from before are waited for. What was never measured is waited for however long it takes.
    /// - Returns: the sizes in the items' order; nil for what cannot be measured, which is asked for again only when it may have changed.
    func sizes(_ items: [Item], patience: Duration = .milliseconds(20), measure: @escaping Measure) async -> [Int64?] {
        var sizes: [Int64?] = []
        sizes.reserveCapacity(items.count)
        var missing: [Item] = [], changing: [Item] = []
        for item in items {
            let one = known[item.key]
            sizes.append(one?.size)
            if let one, item.stamp == nil || one.stamp == item.stamp {
                if item.stamp == nil { changing.append(item) }
            } else {
                missing.append(item)
            }
        }
        if missing.isEmpty, changing.isEmpty { return sizes }
        if !missing.isEmpty { await measureAll(missing, measure) }
        if !changing.isEmpty { await again(changing, patience: patience, measure) }
        return items.map { known[$0.key]?.size }
    }

    /// After something was changed from outside, or is gone.
    func forget(_ key: String) { known[key] = nil }

    /// Forgets everything else.
    func keep(only keys: [String]) {
        guard known.count > keys.count else { return }
        let keys = Set(keys)
        known = known.filter { keys.contains($0.key) }
    }

    private func again(_ items: [Item], patience: Duration, _ measure: @escaping Measure) async {
        let (end, continuation) = AsyncStream.makeStream(of: Void.self)
        if round == nil {
            round = end
            // Owned by this actor through `round`, and over when the walk is.
            Task {
                await self.measureAll(items, measure)
                self.round = nil
                continuation.finish()
            }
        } else {
            // Somebody measures already: its results are as good as ours would be.
            Task { continuation.finish() }
        }
        let timer = Task {
            try? await Task.sleep(for: patience)
            continuation.finish()
        }
        for await _ in end {}
        timer.cancel()
    }

    private func measureAll(_ items: [Item], _ measure: @escaping Measure) async {
        await withTaskGroup(of: (Item, Int64?).self) { group in
            for (index, item) in items.enumerated() {
                if index >= Self.parallel, let (done, size) = await group.next() { note(done, size) }
                group.addTask { (item, await measure(item.key)) }
            }
            for await (item, size) in group { note(item, size) }
        }
    }

    private func note(_ item: Item, _ size: Int64?) { known[item.key] = size != nil || item.stamp != nil ? Known(size: size, stamp: item.stamp) : nil }
}
