//! The ranks of pairs by a perfect hash: no search, so nothing for the processor to guess wrong.
//!
//! A pair's bucket says which of many hashes sends all pairs of that bucket to slots of their own
//! (Belazzougui, Botelho, Dietzfelbinger 2009, "Hash, displace, and compress", section 3). To look a
//! pair up takes a byte or two from 32 kB, and eight bytes from half a megabyte for GPT-2's 50,000
//! merges.

use crate::table::Seeds;

/// Bits for a token id, and for a rank: two ids and a rank are one number.
const BITS: u32 = 21;
const MASK: u64 = (1 << BITS) - 1;
/// Ids and ranks must be lower; this one itself is an id that no pair holds.
pub(super) const LIMIT: u32 = MASK as u32;
/// No merge: above all ranks.
pub(super) const NO_RANK: u32 = u32::MAX;
const VACANT: u64 = u64::MAX;
/// Slots for each bucket.
const BUCKET: usize = 4;
/// Pairs in a bucket, at most; three are usual.
const MOST: usize = 24;

/// Ranks by pair.
#[derive(Debug)]
pub(super) struct PairRanks {
    multiplier: u64,
    /// For each bucket, the number of its hash.
    hashes: Vec<u16>,
    /// Left, right and rank.
    slots: Vec<u64>,
}

fn joined(left: u32, right: u32) -> u64 {
    u64::from(left) << BITS | u64::from(right)
}

/// The high bits of a hash, as many as index `len` places, a power of two above 1.
#[inline(always)]
fn index(hash: u64, len: usize) -> usize {
    (hash >> (u64::BITS - len.trailing_zeros())) as usize
}

impl PairRanks {
    /// The ranks of pairs of tokens, all of them different; `None` if an id or a rank is not below [`LIMIT`], or
    /// if the pairs are chosen so that they meet whatever the hash is.
    pub(super) fn new(
        pairs: impl ExactSizeIterator<Item = (u32, u32, u32)> + Clone,
    ) -> Option<Self> {
        if pairs
            .clone()
            .any(|(left, right, rank)| left.max(right).max(rank) >= LIMIT)
        {
            return None;
        }
        let multipliers = Seeds::of_process().multipliers();
        let slots = (pairs.len() * 5 / 4).next_power_of_two().max(2 * BUCKET);
        // The first nearly always does.
        multipliers
            .take(8)
            .enumerate()
            .find_map(|(number, multiplier)| {
                let empty = Self {
                    multiplier,
                    hashes: vec![0; (slots << (number / 4)) / BUCKET],
                    slots: vec![VACANT; slots << (number / 4)],
                };
                empty.filled(pairs.clone())
            })
    }

    fn filled(
        mut self,
        pairs: impl ExactSizeIterator<Item = (u32, u32, u32)> + Clone,
    ) -> Option<Self> {
        let bucket_of = |(left, right, _): (u32, u32, u32)| {
            index(self.hash(joined(left, right)), self.hashes.len())
        };
        // Pairs in the order of their buckets.
        let mut ends = vec![0; self.hashes.len()];
        pairs.clone().for_each(|pair| ends[bucket_of(pair)] += 1);
        let most: usize = ends.iter().copied().max().unwrap_or(0);
        let mut sum = 0;
        for end in &mut ends {
            sum += std::mem::replace(end, sum);
        }
        let mut entries = vec![0; pairs.len()];
        for pair in pairs {
            let end = &mut ends[bucket_of(pair)];
            entries[*end] = joined(pair.0, pair.1) << BITS | u64::from(pair.2);
            *end += 1;
        }
        if most > MOST {
            return None;
        }
        // The fullest buckets first, while there is most room.
        for size in (1..=most).rev() {
            let mut start = 0;
            for (bucket, &end) in ends.iter().enumerate() {
                if end - start == size {
                    self.place(bucket, &entries[start..end])?;
                }
                start = end;
            }
        }
        Some(self)
    }

    /// Finds the hash that puts all entries of a bucket into vacant slots.
    fn place(&mut self, bucket: usize, entries: &[u64]) -> Option<()> {
        (0..=u16::MAX).find_map(|number| {
            let mut at = [0; MOST];
            for (placed, &entry) in entries.iter().enumerate() {
                let slot = self.slot(self.hash(entry >> BITS), number);
                if self.slots[slot] != VACANT || at[..placed].contains(&slot) {
                    return None;
                }
                at[placed] = slot;
            }
            for (&slot, &entry) in at.iter().zip(entries) {
                self.slots[slot] = entry;
            }
            self.hashes[bucket] = number;
            Some(())
        })
    }

    /// Never of 0, which all multipliers send to slot 0: and GPT-2 merges token 0 with itself.
    #[inline(always)]
    fn hash(&self, pair: u64) -> u64 {
        (pair + 1).wrapping_mul(self.multiplier)
    }

    #[inline(always)]
    fn slot(&self, hash: u64, number: u16) -> usize {
        index(
            hash.wrapping_mul(2 * u64::from(number) + 3),
            self.slots.len(),
        )
    }

    /// The rank of a pair, or [`NO_RANK`].
    #[inline(always)]
    pub(super) fn get(&self, left: u32, right: u32) -> u32 {
        let pair = joined(left, right);
        let hash = self.hash(pair);
        let number = self.hashes[index(hash, self.hashes.len())];
        let entry = self.slots[self.slot(hash, number)];
        // No branch: two of three pairs have no rank, in no order that could be foreseen.
        let other = u32::from(entry >> BITS != pair);
        (entry & MASK) as u32 | other.wrapping_neg()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn ranks(pairs: &HashMap<(u32, u32), u32>) -> Option<PairRanks> {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(&(left, right), &rank)| (left, right, rank))
            .collect();
        PairRanks::new(pairs.iter().copied())
    }

    proptest! {
        #[test]
        fn ranks_are_those_of_a_map(
            pairs in prop::collection::hash_map(
                (prop_oneof![0..9_u32, 0..LIMIT], prop_oneof![0..9_u32, 0..LIMIT]), 0..LIMIT, 0..300
            )
        ) {
            let ours = ranks(&pairs).unwrap();
            let others = (0..9).flat_map(|left| (0..9).map(move |right| (left, right)));
            let swapped = pairs.keys().map(|&(left, right)| (right, left));
            for pair in pairs.keys().copied().chain(others).chain(swapped).chain([(LIMIT, 0), (0, LIMIT)]) {
                prop_assert_eq!(ours.get(pair.0, pair.1), pairs.get(&pair).copied().unwrap_or(NO_RANK));
            }
        }
    }

    #[test]
    fn a_hundred_thousand_pairs_that_count_upwards_are_found() {
        let pairs = (0..100_000).map(|n| ((n % 300, n / 300), n)).collect();
        let ours = ranks(&pairs).unwrap();
        assert!(
            pairs
                .iter()
                .all(|(pair, &rank)| ours.get(pair.0, pair.1) == rank)
        );
        assert!((300..600).all(|left| ours.get(left, left) == NO_RANK));
    }

    #[test]
    fn every_pair_has_another_slot_by_another_hash() {
        let pairs = (0..1_000).map(|n| ((n, n), n)).collect();
        let ours = ranks(&pairs).unwrap();
        for pair in [joined(0, 0), joined(0, 1), joined(7, 0)] {
            let slots = (0..16).map(|number| ours.slot(ours.hash(pair), number));
            assert!(slots.collect::<std::collections::HashSet<_>>().len() > 8);
        }
    }

    #[test]
    fn what_has_no_room_in_an_entry_is_refused() {
        for pair in [
            (LIMIT, 0, 0),
            (0, LIMIT, 0),
            (0, 0, LIMIT),
            (0, 0, u32::MAX),
        ] {
            assert!(PairRanks::new([pair].into_iter()).is_none());
        }
        assert!(PairRanks::new([(LIMIT - 1, LIMIT - 1, LIMIT - 1)].into_iter()).is_some());
    }
}
