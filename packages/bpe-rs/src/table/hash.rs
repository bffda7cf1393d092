//! Hashes for a table whose keys come from strangers.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// 2^64 divided by the golden ratio, and odd.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

/// What makes the hashes of this process its own: a text cannot be written so that its pretokens
/// all meet in one place of the table, and no search takes long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seeds(u128);

impl Seeds {
    /// The same for all tables of a process, so that tables can be merged in the order of hashes.
    pub(crate) fn of_process() -> Self {
        static SEEDS: LazyLock<Seeds> = LazyLock::new(|| {
            let random = RandomState::new();
            Seeds(u128::from(random.hash_one(0)) << 64 | u128::from(random.hash_one(1)))
        });
        *SEEDS
    }

    /// Odd numbers to multiply with, one after the other.
    pub(crate) fn multipliers(self) -> impl Iterator<Item = u64> {
        (0..).map(move |number| self.hash_key(number) | 1)
    }

    /// The product of both halves, folded, and a second product: its high bits are as good as
    /// random for any set of keys. Without the second one, every sixtieth seed or so left long runs
    /// of slots taken when keys count upwards, and a search passed 20 slots where 1.5 are usual.
    #[inline]
    pub(crate) fn hash_key(self, key: u128) -> u64 {
        let seeded = key ^ self.0;
        let (low, high) = (seeded as u64, (seeded >> 64) as u64);
        let product = u128::from(low) * u128::from(high);
        let folded = product as u64 ^ (product >> 64) as u64;
        folded.wrapping_mul(GOLDEN_RATIO)
    }

    /// The hash of 16 bytes or more.
    #[inline(never)] // one in a hundred; inside, it takes the registers of the other 99
    pub(crate) fn hash_long(self, bytes: &[u8]) -> u64 {
        let (blocks, _) = bytes.as_chunks::<16>();
        // Begins anew inside the last whole block, where it is not one itself.
        let last = bytes.last_chunk::<16>();
        let absorb = |state: u64, block: &[u8; 16]| {
            self.hash_key(u128::from_le_bytes(*block) ^ u128::from(state))
        };
        blocks.iter().chain(last).fold(bytes.len() as u64, absorb)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The first ten bits, as they choose a slot in a small table, of many keys that differ little.
    fn homes(keys: impl Iterator<Item = u64>) -> usize {
        keys.map(|hash| hash >> 54).collect::<HashSet<_>>().len()
    }

    #[test]
    fn similar_keys_spread_over_a_table() {
        let seeds = Seeds::of_process();
        // Of 1024 slots, 4096 random keys leave 19 empty on average.
        for shift in (0..=112).step_by(8) {
            let keys = (0..4096).map(|key| seeds.hash_key((key << shift) | 3 << 124));
            assert!(homes(keys) > 900, "a counter at bit {shift}");
        }
    }

    #[test]
    fn every_byte_of_a_long_pretoken_changes_its_hash() {
        let seeds = Seeds::of_process();
        for length in 16..70 {
            let mut bytes = vec![b' '; length];
            let mut seen = HashSet::from([seeds.hash_long(&bytes)]);
            for at in 0..length {
                bytes[at] = b'\t';
                seen.insert(seeds.hash_long(&bytes));
            }
            assert_eq!(seen.len(), length + 1);
        }
    }

    #[test]
    fn runs_of_one_byte_differ_by_their_length() {
        let seeds = Seeds::of_process();
        let runs = (16..2064).map(|length| seeds.hash_long(&vec![0; length]));
        assert_eq!(runs.collect::<HashSet<_>>().len(), 2048);
    }
}
