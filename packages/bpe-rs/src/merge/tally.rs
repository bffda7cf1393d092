//! What is counted of a pair before it is known whether it will be watched.

/// In place of a place: it is not noted anywhere.
pub(super) const NOWHERE: usize = usize::MAX;

/// How often something occurs. Kept small: there is one for each pair of bytes, and two for each
/// token, and they should stay in the cache.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) count: u64,
    /// At how many places; once all are counted, where the next of them is to be noted.
    pub(super) places: usize,
}
