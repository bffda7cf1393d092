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
    /// No merge comes before.
    pub(super) const FIRST: Self = Self(0);

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
///
/// A slot holds four bytes: the merge's place in the list, plus one, and as many bits of the hash as
/// there is room for. So the look-ups that find nothing stay in half a megabyte for GPT-2's 50,000
/// merges, which the second cache holds; only the others look into the list, at its beginning mostly.
#[derive(Debug)]
pub(super) struct PairTable {
    /// A power of two of them; 0 if vacant.
    slots: Vec<u32>,
    /// The bits of a slot that are a place.
    places: u32,
    merges: Vec<Entry>,
    seeds: Seeds,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Left and right.
    pair: u64,
    merged: Merged,
}

fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

impl PairTable {
    /// Room for so many merges, fewer than 2^32.
    pub(super) fn with_capacity(merges: usize) -> Self {
        let slots = (2 * merges).next_power_of_two().max(2);
        Self {
            slots: vec![0; slots],
            // Half as many places as slots, and none.
            places: (slots - 1) as u32,
            merges: Vec::with_capacity(merges),
            seeds: Seeds::of_process(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.merges.len()
    }

    /// Left, right and rank of each merge.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (u32, u32, u32)> + Clone {
        let parts = |entry: &Entry| {
            (
                (entry.pair >> 32) as u32,
                entry.pair as u32,
                entry.merged.rank(),
            )
        };
        self.merges.iter().map(parts)
    }

    /// What `left` and `right` merge into, or [`NONE`].
    #[inline(always)]
    pub(super) fn get(&self, left: u32, right: u32) -> Merged {
        self.search(pair(left, right)).unwrap_or(NONE)
    }

    /// Adds a merge, unless there is one of that pair: then returns it. Needs room for one.
    pub(super) fn insert(&mut self, left: u32, right: u32, merged: Merged) -> Result<(), Merged> {
        let pair = pair(left, right);
        match self.search(pair) {
            Ok(known) => Err(known),
            Err((at, tag)) => {
                self.merges.push(Entry { pair, merged });
                self.slots[at] = tag | self.merges.len() as u32;
                Ok(())
            }
        }
    }

    /// What a pair merges into; or the vacant slot where it belongs, and what to put there besides
    /// its place.
    #[inline(always)]
    fn search(&self, pair: u64) -> Result<Merged, (usize, u32)> {
        let hash = self.seeds.hash_key(u128::from(pair));
        let last = self.slots.len() - 1;
        let mut at = (hash >> (u64::BITS - last.count_ones())) as usize;
        let tag = hash as u32 & !self.places;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return Err((at, tag)); // is met, because half of the slots are vacant
            }
            if slot & !self.places == tag
                && let Some(entry) = self
                    .merges
                    .get(((slot & self.places) as usize).wrapping_sub(1))
                && entry.pair == pair
            {
                return Ok(entry.merged);
            }
            at = (at + 1) & last;
        }
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
