//! The pairs in the order in which they will be merged.

use std::cmp::Ordering;

use super::pairs::{PairIndex, Pairs};
use super::tokens::Tokens;
use super::words::BLOCK;
use crate::error::TrainError;
use crate::watch::Watch;

/// Gives pairs by count, the greatest first, and pairs of equal count by the tie rule.
///
/// A radix heap (Ahuja et al. 1990, "Faster algorithms for the shortest path problem"): what comes
/// out only falls, since counts only fall and a new pair is no more frequent than the one whose
/// merge made it. So pairs lie in buckets by the highest bit in which their count differs from the
/// count whose turn it is, and move on, at most 64 times, as that bit is reached. Nothing is
/// compared but pairs of the count whose turn it is.
#[derive(Debug)]
pub(super) struct PairQueue {
    /// The count whose turn it is; no pair has more.
    count: u64,
    ties: Ties,
    /// At i: pairs whose counts differ from `count` in bit i, and in none above.
    buckets: [Vec<PairIndex>; 64],
}

impl PairQueue {
    pub(super) fn new() -> Self {
        Self {
            count: u64::MAX,
            ties: Ties::default(),
            buckets: std::array::from_fn(|_| Vec::new()),
        }
    }

    /// Starts anew with all of `pairs`; their count must not be above the last one given.
    pub(super) fn fill(
        &mut self,
        threshold: u64,
        pairs: &Pairs,
        tokens: &Tokens,
        watch: &Watch,
    ) -> Result<(), TrainError> {
        self.ties.heap.clear();
        self.buckets.iter_mut().for_each(Vec::clear);
        for index in pairs.indices() {
            watch.check()?;
            if pairs.count(index) >= threshold {
                self.push(index, pairs, tokens);
            }
        }
        Ok(())
    }

    pub(super) fn push(&mut self, index: PairIndex, pairs: &Pairs, tokens: &Tokens) {
        let differing = self.count ^ pairs.count(index);
        match differing.checked_ilog2() {
            None => self.ties.push(Candidate::new(index, pairs, tokens), tokens),
            Some(bit) => self.buckets[bit as usize].push(index),
        }
    }

    /// Takes out the next pair that occurs at least `threshold` times.
    pub(super) fn pop(
        &mut self,
        threshold: u64,
        pairs: &Pairs,
        tokens: &Tokens,
        watch: &Watch,
    ) -> Result<Option<PairIndex>, TrainError> {
        loop {
            while let Some(Candidate { index, .. }) = self.ties.pop(tokens) {
                watch.check()?;
                let count = pairs.count(index);
                if count == self.count {
                    return Ok(Some(index));
                }
                if count >= threshold {
                    self.push(index, pairs, tokens);
                }
            }
            if !self.next_count(threshold, pairs, tokens, watch)? {
                return Ok(None);
            }
        }
    }

    /// Spreads the first bucket that holds anything, by the counts as they are now.
    fn next_count(
        &mut self,
        threshold: u64,
        pairs: &Pairs,
        tokens: &Tokens,
        watch: &Watch,
    ) -> Result<bool, TrainError> {
        let Some(first) = self.buckets.iter().position(|bucket| !bucket.is_empty()) else {
            return Ok(false);
        };
        let bucket = std::mem::take(&mut self.buckets[first]);
        let mut greatest = 0;
        for indices in bucket.chunks(BLOCK) {
            watch.check()?;
            let counts = indices.iter().map(|&index| pairs.count(index));
            greatest = counts.fold(greatest, u64::max);
        }
        // All may have fallen below what this bucket is for; then another one comes first. And none
        // below the threshold may set the count, for pairs not watched may have more.
        if greatest >= threshold && (self.count ^ greatest) >> first == 1 {
            self.count = greatest;
        }
        for indices in bucket.chunks(BLOCK) {
            watch.check()?;
            for &index in indices {
                if pairs.count(index) >= threshold {
                    self.push(index, pairs, tokens);
                }
            }
        }
        Ok(true)
    }
}

/// Pairs of one count, the one to be merged first on top.
#[derive(Debug, Default)]
struct Ties {
    /// A binary heap; std's has no way to hand the comparison what it needs.
    heap: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    keys: (u64, u64),
    pair: (u32, u32),
    index: PairIndex,
}

impl Candidate {
    fn new(index: PairIndex, pairs: &Pairs, tokens: &Tokens) -> Self {
        let pair = pairs.pair(index);
        Self {
            keys: (tokens.key(pair.0), tokens.key(pair.1)),
            pair,
            index,
        }
    }

    fn is_before(&self, other: &Self, tokens: &Tokens) -> bool {
        let by_left = self.keys.0.cmp(&other.keys.0);
        let by_left = by_left.then_with(|| tokens.compare(self.pair.0, other.pair.0));
        let by_right = || self.keys.1.cmp(&other.keys.1);
        let order = by_left.then_with(by_right);
        order.then_with(|| tokens.compare(self.pair.1, other.pair.1)) == Ordering::Greater
    }
}

impl Ties {
    fn push(&mut self, candidate: Candidate, tokens: &Tokens) {
        let mut at = self.heap.len();
        self.heap.push(candidate);
        while at > 0 {
            let parent = (at - 1) / 2;
            if !candidate.is_before(&self.heap[parent], tokens) {
                break;
            }
            self.heap.swap(at, parent);
            at = parent;
        }
    }

    fn pop(&mut self, tokens: &Tokens) -> Option<Candidate> {
        let last = self.heap.pop()?;
        let Some(first) = self.heap.first_mut() else {
            return Some(last);
        };
        let top = std::mem::replace(first, last);
        self.sink(tokens);
        Some(top)
    }

    /// Moves the first one to where it belongs.
    fn sink(&mut self, tokens: &Tokens) {
        let mut at = 0;
        loop {
            let mut child = 2 * at + 1;
            let Some(left) = self.heap.get(child) else {
                return;
            };
            if self
                .heap
                .get(child + 1)
                .is_some_and(|right| right.is_before(left, tokens))
            {
                child += 1;
            }
            if !self.heap[child].is_before(&self.heap[at], tokens) {
                return;
            }
            self.heap.swap(at, child);
            at = child;
        }
    }
}
