//! The ids of pretokens seen before: most of any text is a few thousand pretokens over and over.

use std::hash::BuildHasher;
use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Longer pretokens hardly ever come twice.
const MAX_PRETOKEN_BYTES: usize = 128;

/// Pretokens and their token ids, in three flat allocations of bounded size.
#[derive(Debug)]
pub(crate) struct PretokenCache {
    entries: HashTable<Entry>,
    bytes: Vec<u8>,
    token_ids: Vec<u32>,
    max_entries: usize,
    hasher: DefaultHashBuilder,
}

#[derive(Debug)]
struct Entry {
    bytes: (u32, u32),
    token_ids: (u32, u32),
}

fn range((start, end): (u32, u32)) -> Range<usize> {
    start as usize..end as usize
}

impl PretokenCache {
    pub(crate) fn new(max_entries: usize) -> Self {
        Self {
            entries: HashTable::new(),
            bytes: Vec::new(),
            token_ids: Vec::new(),
            max_entries,
            hasher: DefaultHashBuilder::default(),
        }
    }

    #[inline]
    pub(crate) fn get(&self, pretoken: &[u8]) -> Option<&[u32]> {
        let hash = self.hasher.hash_one(pretoken);
        let entry = self
            .entries
            .find(hash, |entry| self.bytes[range(entry.bytes)] == *pretoken)?;
        Some(&self.token_ids[range(entry.token_ids)])
    }

    /// Remembers a pretoken, unless it is long or memory is short. A full cache starts anew: what
    /// is frequent comes back at once.
    pub(crate) fn insert(&mut self, pretoken: &[u8], token_ids: &[u32]) {
        if self.entries.len() >= self.max_entries {
            self.entries.clear();
            self.bytes.clear();
            self.token_ids.clear();
        }
        if pretoken.len() > MAX_PRETOKEN_BYTES || !self.has_room(pretoken.len(), token_ids.len()) {
            return;
        }
        self.bytes.extend_from_slice(pretoken);
        self.token_ids.extend_from_slice(token_ids);
        let tail = |total: usize, length: usize| ((total - length) as u32, total as u32);
        let entry = Entry {
            bytes: tail(self.bytes.len(), pretoken.len()),
            token_ids: tail(self.token_ids.len(), token_ids.len()),
        };
        let hash = self.hasher.hash_one(pretoken);
        let (bytes, hasher) = (&self.bytes, &self.hasher);
        self.entries.insert_unique(hash, entry, |entry| {
            hasher.hash_one(&bytes[range(entry.bytes)])
        });
    }

    /// A process at its memory limit goes on without remembering, where it would be aborted.
    fn has_room(&mut self, bytes: usize, token_ids: usize) -> bool {
        let (stored, hasher) = (&self.bytes, &self.hasher);
        let rehash = |entry: &Entry| hasher.hash_one(&stored[range(entry.bytes)]);
        self.entries.try_reserve(1, rehash).is_ok()
            && self.bytes.try_reserve(bytes).is_ok()
            && self.token_ids.try_reserve(token_ids).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_cache_starts_anew_and_stays_right() {
        let mut cache = PretokenCache::new(8);
        for number in 0..100_u32 {
            let pretoken = number.to_string();
            cache.insert(pretoken.as_bytes(), &[number, number]);
            assert_eq!(
                cache.get(pretoken.as_bytes()),
                Some([number, number].as_slice())
            );
            assert!(cache.entries.len() <= 8);
        }
        assert_eq!(cache.get(b"0"), None);
    }

    #[test]
    fn long_pretokens_are_not_kept() {
        let mut cache = PretokenCache::new(8);
        cache.insert(&[b'a'; MAX_PRETOKEN_BYTES + 1], &[1]);
        assert!(cache.bytes.is_empty());
    }
}
