import NIOHTTP2
/// Placeholder.
