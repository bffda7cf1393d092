//! Which pairs are worth watching.

use std::collections::HashSet;

use super::tokens::{Symbol, SymbolPair};
use super::{MergeOptions, Pair};

/// How far at least the threshold falls when no pair reaches it any more.
const FALL: u64 = 4;

/// Most pairs are rare and never merged. Nothing is stored about these, neither count nor places: a
/// pair is watched only if it occurs at least `count` times when it comes up. That loses nothing.
/// Once the merge is over that made the younger of its tokens, the count of a pair only falls, so
/// what is rare then stays rare; and when no watched pair is left, all pairs are counted again
/// under a lower threshold.
///
/// The first threshold is a guess at how frequent the last merge will be. In the corpora looked at
/// (prose, code, sixty languages; 500 to 100,000 merges) that was 1/2 to 1/60 of the mean of all
/// pairs a merge; only where the corpus ran out of pairs to merge it was less. So 1/64 makes
/// counting again rare, and for 32,000 merges of sixty languages watches 150,000 pairs of a million.
#[derive(Debug)]
pub(super) struct Threshold {
    pub(super) count: u64,
    share: u64,
    /// Rarer ones are not to be merged at all.
    floor: u64,
    max_token_bytes: u64,
    /// These are watched in any case: they will be merged whatever their count.
    wanted: HashSet<SymbolPair>,
}

impl Threshold {
    pub(super) fn new(options: &MergeOptions, first: &[Pair], share: u64) -> Self {
        let symbols = |&(left, right): &Pair| (left + 1 as Symbol, right + 1 as Symbol);
        Self {
            count: u64::MAX,
            share,
            floor: options.min_frequency.max(1),
            max_token_bytes: options.max_token_bytes.map_or(u64::MAX, |max| max as u64),
            wanted: first.iter().map(symbols).collect(),
        }
    }

    pub(super) fn is_lowest(&self) -> bool {
        self.count == self.floor
    }

    /// Chooses the next threshold for `merges` more, where all pairs together occur `total` times.
    pub(super) fn lower(&mut self, total: u64, merges: usize) {
        let share = total / self.share / (merges as u64).max(1);
        self.count = share.min(self.count / FALL).max(self.floor);
    }

    /// Whether to watch a pair that occurs `count` times and would make a token of so many bytes.
    #[inline]
    pub(super) fn admits(&self, pair: SymbolPair, count: u64, bytes: u32) -> bool {
        (count >= self.count && u64::from(bytes) <= self.max_token_bytes) || self.wants(pair)
    }

    #[inline]
    pub(super) fn wants(&self, pair: SymbolPair) -> bool {
        !self.wanted.is_empty() && self.wanted.contains(&pair)
    }

    pub(super) fn has_got(&mut self, pair: SymbolPair) {
        self.wanted.remove(&pair);
    }
}
