/// Names for containers that were given none: `calm_harbor`, in the manner of Docker's.
enum NameGenerator {
    private static let adjectives = [
        "able", "agile", "airy", "alert", "amber", "ample", "azure", "bold", "brave", "breezy", "bright", "brisk", "calm", "candid", "careful", "cheerful", "clear", "clever",
        "cosy", "crisp", "curious", "daring", "dapper", "deft", "eager", "early", "earnest", "easy", "even", "fair", "faithful", "fast", "fearless", "firm", "fleet", "fluent",
        "fond", "frank", "free", "fresh", "gentle", "glad", "golden", "good", "grand", "green", "handy", "happy", "hardy", "honest", "hopeful", "humble", "ideal", "jolly",
        "keen", "kind", "level", "light", "lively", "loyal", "lucid", "lucky", "mellow", "merry", "mild", "modest", "neat", "nimble", "noble", "open", "patient", "plain",
        "polite", "proud", "quick", "quiet", "ready", "robust", "rosy", "safe", "serene", "sharp", "silent", "simple", "sleek", "smart", "smooth", "snug", "sober", "solid",
        "spry", "stable", "steady", "still", "stoic", "sturdy", "sunny", "sure", "swift", "tidy", "tranquil", "trim", "trusty", "upbeat", "vivid", "warm", "wise", "witty",
    ]
    private static let surnames = [
        "amundsen", "ashby", "baret", "beaufort", "bering", "bligh", "bowditch", "byrd", "cabot", "cabral", "cartier", "champlain", "cheng", "cook", "cousteau", "dampier",
        "davis", "diaz", "drake", "earhart", "earle", "elcano", "ericson", "fitzroy", "flinders", "franklin", "frobisher", "gama", "garneray", "halley", "hanno", "harrison",
        "hartog", "heyerdahl", "hudson", "humboldt", "janszoon", "jeanne", "kotzebue", "kupe", "lapita", "laperouse", "lind", "magellan", "maury", "mercator", "nansen",
        "nearchus", "nordenskiold", "orellana", "parry", "pigafetta", "polo", "ptolemy", "pytheas", "raleigh", "ross", "scoresby", "scott", "shackleton", "slocum", "smeaton",
        "stevenson", "sverdrup", "tasman", "torres", "tupaia", "vancouver", "vespucci", "wallis", "weddell", "wilkes", "yonge", "zarco",
    ]

    /// `attempt` above 0 adds a digit: somebody has the plain name.
    static func name(attempt: Int) -> String {
        let name = "\(adjectives.randomElement() ?? "calm")_\(surnames.randomElement() ?? "cook")"
        return attempt > 0 ? name + String(Int.random(in: 0...9)) : name
    }
}
