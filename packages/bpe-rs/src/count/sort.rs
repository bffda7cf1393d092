//! Sorting a table's entries by their bytes, which lie all over the memory.

use super::table::PretokenTable;
use crate::error::TrainError;
use crate::watch::Watch;

/// Entries sorted at once, within some 40 ms, after which an interruption is seen. Parts that stay
/// in the cache (2^16) sort faster, but merging them takes more than that gains: 285,000 entries
/// came in 50 ms in place of 36.
pub(super) const PART_ENTRIES: usize = 1 << 19;

/// Bytes that a key holds.
const KEY_BYTES: usize = 7;

/// An entry, and a key to sort by.
pub(super) struct Keyed<'a> {
    key: u64,
    pub(super) pretoken: &'a [u8],
    pub(super) count: u64,
}

/// A table's entries in parts of up to `part_entries`, each in ascending order.
pub(super) fn sorted_parts<'a>(
    table: &'a PretokenTable,
    part_entries: usize,
    watch: &Watch,
) -> Result<Vec<Vec<Keyed<'a>>>, TrainError> {
    let mut entries = table.iter().map(|(pretoken, count)| Keyed {
        key: 0,
        pretoken,
        count,
    });
    let mut parts = Vec::new();
    loop {
        let mut part: Vec<_> = entries.by_ref().take(part_entries).collect();
        if part.is_empty() {
            return Ok(parts);
        }
        watch.check()?;
        sort(&mut part);
        parts.push(part);
    }
}

/// Sorts by the keys of the first bytes, then those that are the same by the next ones, and so on.
///
/// A pretoken is looked at once for each seven of its bytes that others begin with as well;
/// comparing would look at two for each comparison, and took a fifth longer.
fn sort(entries: &mut [Keyed<'_>]) {
    let mut same_so_far = vec![(entries, 0)];
    while let Some((entries, depth)) = same_so_far.pop() {
        for entry in &mut *entries {
            entry.key = key(entry.pretoken.get(depth..).unwrap_or_default());
        }
        entries.sort_unstable_by_key(|entry| entry.key);
        let groups = entries.chunk_by_mut(|left, right| left.key == right.key);
        let groups = groups.filter(|group| group.len() > 1);
        same_so_far.extend(groups.map(|group| (group, depth + KEY_BYTES)));
    }
}

/// The first seven bytes, then how many there are, up to eight, as a number.
///
/// Of different keys, the smaller is that of the smaller pretoken. The same key means the same
/// pretoken, or two of which more than seven bytes are to be compared.
#[inline]
pub(super) fn key(pretoken: &[u8]) -> u64 {
    match pretoken.first_chunk() {
        Some(first) => u64::from_be_bytes(*first) & !0xff | (KEY_BYTES as u64 + 1),
        None => {
            let bytes = pretoken.iter().chain(&[0; KEY_BYTES]).take(KEY_BYTES);
            let bytes = bytes.fold(0, |key, &byte| key << 8 | u64::from(byte));
            bytes << 8 | pretoken.len() as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pretokens() -> impl Strategy<Value = Vec<u8>> {
        let runs = (0..2_u8, 0..30_usize).prop_map(|(byte, length)| vec![byte; length]);
        prop_oneof![runs, prop::collection::vec(0..3_u8, 0..20)]
    }

    proptest! {
        #[test]
        fn keys_never_contradict_the_bytes(left in pretokens(), right in pretokens()) {
            match key(&left).cmp(&key(&right)) {
                order if order.is_ne() => prop_assert_eq!(order, left.cmp(&right)),
                _ => prop_assert!(left == right || left.len().min(right.len()) > KEY_BYTES),
            }
        }

        #[test]
        fn entries_are_sorted_by_their_bytes(
            pretokens in prop::collection::hash_set(pretokens(), 0..60),
        ) {
            let mut entries: Vec<_> = pretokens.iter().map(|pretoken| Keyed {
                key: 0,
                pretoken,
                count: pretoken.len() as u64,
            }).collect();
            sort(&mut entries);
            prop_assert!(entries.is_sorted_by(|left, right| left.pretoken < right.pretoken));
            prop_assert!(entries.iter().all(|entry| entry.count == entry.pretoken.len() as u64));
            prop_assert_eq!(entries.len(), pretokens.len());
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
        let is_sorted = |part: &Vec<Keyed<'_>>| part.is_sorted_by_key(|entry| entry.pretoken);
        assert!(parts.iter().all(is_sorted));
        let watch = Watch::default();
        watch.interrupt();
        assert!(sorted_parts(&table, 100, &watch).is_err());
    }
}
