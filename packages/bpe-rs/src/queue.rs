//! The pairs in the order in which they will be merged.

use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;

/// Two adjacent tokens.
pub(crate) type Pair = (u32, u32);

/// Gives pairs by count, the greatest first, and pairs of equal count by their bytes.
///
/// Counts of pairs in the queue only ever fall. So a pair is put down under the count it has, and
/// looked at again when that count's turn comes: is it smaller by then, the pair moves on to where
/// it belongs. Bytes are compared between pairs of the count whose turn it is, never before.
#[derive(Debug, Default)]
pub(crate) struct PairQueue {
    by_count: BTreeMap<u64, Vec<Pair>>,
    /// The count whose turn it is, and its pairs.
    count: u64,
    ties: BinaryHeap<Candidate>,
}

/// Ordered by left bytes, then right bytes: the settled rule for ties.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    left: Rc<[u8]>,
    right: Rc<[u8]>,
    pair: Pair,
}

impl PairQueue {
    pub(crate) fn push(&mut self, pair: Pair, count: u64, tokens: &[Rc<[u8]>]) {
        if count == self.count {
            let [left, right] = [pair.0, pair.1].map(|id| Rc::clone(&tokens[id as usize]));
            self.ties.push(Candidate { left, right, pair });
        } else if count > 0 {
            self.by_count.entry(count).or_default().push(pair);
        }
    }

    /// Takes out the next pair, where `count_of` knows the counts as they are now.
    pub(crate) fn pop(
        &mut self,
        tokens: &[Rc<[u8]>],
        count_of: impl Fn(Pair) -> u64,
    ) -> Option<Pair> {
        loop {
            while let Some(Candidate { pair, .. }) = self.ties.pop() {
                let count = count_of(pair);
                if count == self.count {
                    return Some(pair);
                }
                self.push(pair, count, tokens);
            }
            let (count, pairs) = self.by_count.pop_last()?;
            self.count = count;
            for pair in pairs {
                self.push(pair, count_of(pair), tokens);
            }
        }
    }
}
