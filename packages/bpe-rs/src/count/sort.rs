//! Sorting a table's entries by their bytes.

use super::pretoken::{Pretoken, SortKey};
use super::table::PretokenTable;
use crate::error::TrainError;
use crate::table::{Key, long_parts};
use crate::watch::Watch;

/// Entries sorted at once, within some 20 ms, after which an interruption is seen. Parts that stay
/// in the cache (2^16) sort faster, but merging them takes more than that gains.
pub(super) const PART_ENTRIES: usize = 1 << 19;

/// An entry, by what it is sorted by.
pub(super) struct Keyed {
    key: SortKey,
    pub(super) count: u64,
    /// Of a pretoken that the key does not hold, where its table has it.
    number: u64,
}

impl Keyed {
    fn new(table: &PretokenTable, key: Key, count: u64) -> Self {
        let (key, number) = match long_parts(key) {
            None => (SortKey::of_short(key), 0),
            Some((_, number)) => (SortKey::of_longer(table.long(number)), number),
        };
        Self { key, count, number }
    }

    /// Makes `pretoken` the one of this entry, which is of that table.
    #[inline(always)]
    pub(super) fn give(&self, table: &PretokenTable, pretoken: &mut Pretoken) {
        if self.key.is_longer() {
            pretoken.set_longer(self.key, table.long(self.number));
        } else {
            pretoken.set_short(self.key);
        }
    }
}

/// A table's entries in parts of up to `part_entries`, each in ascending order.
pub(super) fn sorted_parts(
    table: &PretokenTable,
    part_entries: usize,
    watch: &Watch,
) -> Result<Vec<Vec<Keyed>>, TrainError> {
    let mut left = table.len();
    let mut entries = table
        .keys()
        .map(|(key, count)| Keyed::new(table, key, count));
    let mut parts = Vec::new();
    while left > 0 {
        watch.check()?;
        let mut part = Vec::with_capacity(left.min(part_entries));
        part.extend(entries.by_ref().take(part_entries));
        left = left.saturating_sub(part_entries);
        sort(&mut part, table);
        parts.push(part);
    }
    Ok(parts)
}

/// Sorts by the keys, then what has the same key by the rest.
fn sort(entries: &mut [Keyed], table: &PretokenTable) {
    entries.sort_unstable_by_key(|entry| entry.key);
    let groups = entries.chunk_by_mut(|left, right| left.key == right.key);
    for group in groups.filter(|group| group.len() > 1) {
        group.sort_unstable_by_key(|entry| table.long(entry.number));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pretoken::tests::pretokens;
    use super::*;

    proptest! {
        #[test]
        fn entries_are_sorted_by_their_bytes(
            pretokens in prop::collection::btree_set(pretokens(), 0..60), part_entries in 1..70_usize,
        ) {
            let mut table = PretokenTable::new();
            for pretoken in &pretokens {
                table.add(pretoken, pretoken.len() as u64 + 1).unwrap();
            }
            let mut all = Vec::new();
            for part in sorted_parts(&table, part_entries, &Watch::default()).unwrap() {
                let from = all.len();
                for entry in part {
                    let mut pretoken = Pretoken::empty();
                    entry.give(&table, &mut pretoken);
                    prop_assert_eq!(entry.count, pretoken.bytes().len() as u64 + 1);
                    all.push(pretoken.bytes().to_vec());
                }
                prop_assert!(all[from..].is_sorted_by(|left, right| left < right));
            }
            all.sort();
            prop_assert!(all.iter().eq(&pretokens));
        }
    }

    #[test]
    fn a_large_table_comes_in_parts() {
        let mut table = PretokenTable::new();
        for number in 0..1001_u32 {
            table.add(&number.to_le_bytes(), 1).unwrap();
        }
        let parts = sorted_parts(&table, 100, &Watch::default()).unwrap();
        let lengths: Vec<usize> = parts.iter().map(Vec::len).collect();
        assert_eq!(lengths, [[100; 10].as_slice(), &[1]].concat());
        let watch = Watch::default();
        watch.interrupt();
        assert!(sorted_parts(&table, 100, &watch).is_err());
    }
}
