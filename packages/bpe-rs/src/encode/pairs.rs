//! What two adjacent tokens merge into.

use crate::table::Seeds;

/// No merge: greater than every [`Merged`].
pub(super) const NONE: Merged = Merged(u64::MAX);

/// Rank and id of the token that a pair merges into, ordered by rank.
///
/// One number, so that the lowest of several is found by comparing numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Merged(u64);

impl Merged {
    /// `rank` must be below `u32::MAX`.
    pub(super) fn new(rank: u32, token_id: u32) -> Self {
        Self(u64::from(rank) << 32 | u64::from(token_id))
    }

    pub(super) fn rank(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(super) fn token_id(self) -> u32 {
        self.0 as u32
    }
}

/// The merges by their pairs: open addressing, at most half full, as most look-ups find nothing.
#[derive(Debug)]
pub(super) struct PairTable {
    /// A power of two of them.
    slots: Vec<Slot>,
    len: usize,
    seeds: Seeds,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Left and right; any if nothing is here.
    pair: u64,
    /// [`NONE`] if nothing is here.
    merged: Merged,
}

const VACANT: Slot = Slot {
    pair: 0,
    merged: NONE,
};

fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

impl PairTable {
    /// Room for so many.
    pub(super) fn with_capacity(merges: usize) -> Self {
        Self {
            slots: vec![VACANT; (2 * merges).next_power_of_two().max(2)],
            len: 0,
            seeds: Seeds::of_process(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What `left` and `right` merge into, or [`NONE`].
    #[inline(always)]
    pub(super) fn get(&self, left: u32, right: u32) -> Merged {
        self.slots[self.search(pair(left, right))].merged
    }

    /// Adds a merge, unless there is one of that pair: then returns it. Needs room for one.
    pub(super) fn insert(&mut self, left: u32, right: u32, merged: Merged) -> Result<(), Merged> {
        let pair = pair(left, right);
        let at = self.search(pair);
        let known = self.slots[at].merged;
        if known != NONE {
            return Err(known);
        }
        self.slots[at] = Slot { pair, merged };
        self.len += 1;
        Ok(())
    }

    /// Where a pair is, or the vacant slot where it belongs.
    #[inline(always)]
    fn search(&self, pair: u64) -> usize {
        let last = self.slots.len() - 1;
        let mut at = (self.seeds.hash_key(u128::from(pair)) >> (64 - last.count_ones())) as usize;
        // Ends, because half of the slots are vacant.
        while self.slots[at].pair != pair && self.slots[at].merged != NONE {
            at = (at + 1) & last;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_table_is_a_map(
            pairs in prop::collection::hash_map((0..9_u32, 0..9_u32), any::<u32>(), 0..60)
        ) {
            let mut table = PairTable::with_capacity(pairs.len());
            let merged: HashMap<_, _> = pairs
                .into_iter()
                .zip(0..)
                .map(|((pair, token_id), rank)| (pair, Merged::new(rank, token_id)))
                .collect();
            for (&(left, right), &merged) in &merged {
                prop_assert_eq!(table.insert(left, right, merged), Ok(()));
                prop_assert_eq!(table.insert(left, right, NONE), Err(merged));
            }
            for left in 0..9 {
                for right in 0..9 {
                    let known = merged.get(&(left, right)).copied().unwrap_or(NONE);
                    prop_assert_eq!(table.get(left, right), known);
                }
            }
            prop_assert_eq!(table.len(), merged.len());
        }
    }

    #[test]
    fn merges_are_ordered_by_rank_and_come_before_none() {
        let (low, high) = (Merged::new(1, u32::MAX), Merged::new(2, 0));
        assert!(low < high && high < NONE && Merged::new(u32::MAX - 1, u32::MAX) < NONE);
        assert_eq!((low.rank(), low.token_id()), (1, u32::MAX));
    }
}
