//! The token ids of pretokens seen before: most of any text is a few thousand pretokens over and over.
//!
//! One flat table, searched as the one that counts is. A slot of half a cache line holds a short
//! pretoken and up to three ids, which is what nearly all have: they are found without following a
//! pointer, and copied without asking how many there are.

mod ids;
mod unknown;

use super::merges::Merges;
use super::together::ManyMerger;
use super::token_id::TokenId;
use super::word::WordMerger;
use crate::table::{
    Key, LongPretokens, MAX_SHORT, NO_NUMBER, Seeds, Slot, advise_huge_pages, long_key, long_parts,
    prefetch, short_key,
};
use ids::{Ids, Known};
use unknown::{TOGETHER, Unmerged};

/// 32 kB: a short text should not pay for a long one.
const MIN_SLOTS: usize = 1 << 10;
/// Three of four slots are taken at most.
const MAX_LOAD: (usize, usize) = (3, 4);
/// So many homes are asked for before the first of them is searched.
const AHEAD: usize = 64;
/// Longer pretokens hardly ever come twice.
const MAX_PRETOKEN_BYTES: usize = 128;
/// Ids elsewhere are numbered by 32 bits.
const MAX_BYTES: usize = 1 << 33;

/// Pretokens and their token ids, in at most so many bytes.
#[derive(Debug)]
pub(crate) struct TokenCache {
    /// A power of two of them, never all taken.
    slots: Vec<CacheSlot>,
    len: usize,
    max_slots: usize,
    long: LongPretokens,
    /// Ids that are too many for a slot.
    token_ids: Vec<u32>,
    max_bytes: usize,
    seeds: Seeds,
    merger: WordMerger,
    many_merger: Box<ManyMerger>,
    /// The ids of the pretoken that was merged last.
    merged: Vec<u32>,
    /// Pretokens whose slots have no ids yet.
    unmerged: Vec<Unmerged>,
}

/// Never on two cache lines.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
struct CacheSlot(Slot<Ids>);

impl TokenCache {
    /// An empty cache, which may grow to `max_bytes` and a little beyond: half for the slots, half
    /// for what has no room in them.
    pub(crate) fn new(max_bytes: usize) -> Self {
        let max_bytes = max_bytes.min(MAX_BYTES);
        let max_slots = (max_bytes / 2 / size_of::<CacheSlot>()).max(2 * TOGETHER);
        Self {
            slots: Vec::new(),
            len: 0,
            max_slots: 1 << max_slots.ilog2(),
            long: LongPretokens::default(),
            token_ids: Vec::new(),
            max_bytes,
            seeds: Seeds::of_process(),
            merger: WordMerger::default(),
            many_merger: Box::default(),
            merged: Vec::new(),
            unmerged: Vec::new(),
        }
    }

    /// Appends the ids of pretokens: the first begins at `start`, each other where the one before
    /// ends.
    #[inline(never)]
    pub(super) fn encode_batch<T: TokenId>(
        &mut self,
        merges: &Merges,
        text: &[u8],
        mut start: usize,
        ends: &[usize],
        token_ids: &mut Vec<T>,
    ) {
        let mut rest = ends;
        while !rest.is_empty() {
            let known = self.encode_known(text, start, rest, token_ids);
            start = known.checked_sub(1).map_or(start, |last| rest[last]);
            rest = &rest[known..];
            // Where some are new, those that come next often are, too.
            let mut any_new = true;
            while any_new && !rest.is_empty() {
                let (part, after) = rest.split_at(rest.len().min(TOGETHER));
                any_new = self.encode_unknown(merges, text, start, part, token_ids);
                start = part.last().copied().unwrap_or(start);
                rest = after;
            }
        }
    }

    /// Appends the ids of pretokens up to the first that is not known; returns how many they are.
    fn encode_known<T: TokenId>(
        &mut self,
        text: &[u8],
        mut start: usize,
        ends: &[usize],
        token_ids: &mut Vec<T>,
    ) -> usize {
        let mut ahead = [(0, 0); AHEAD];
        let mut known = Known::new();
        for (chunk, ends) in ends.chunks(AHEAD).enumerate() {
            self.make_room(ends.len());
            self.look_ahead(text, start, ends, &mut ahead);
            for (number, (&(key, home), &end)) in ahead.iter().zip(ends).enumerate() {
                let slot = &self.slots[home].0;
                match slot.value.inline() {
                    Some(count) if slot.key() == key => known.push(&slot.value, count),
                    _ => {
                        known.flush(token_ids);
                        if !self.append_known(home, key, &text[start..end], token_ids) {
                            return chunk * AHEAD + number;
                        }
                    }
                }
                start = end;
            }
            known.flush(token_ids);
        }
        ends.len()
    }

    /// Finds the homes of a chunk of pretokens, and asks for them.
    fn look_ahead(
        &self,
        text: &[u8],
        mut start: usize,
        ends: &[usize],
        ahead: &mut [(Key, usize); AHEAD],
    ) {
        for (place, &end) in ahead.iter_mut().zip(ends) {
            *place = self.key_and_home(text, start, end);
            prefetch(&self.slots[place.1]);
            start = end;
        }
    }

    /// What the pretoken `text[start..end]` is searched by, and where. A long one has no number yet.
    #[inline(always)]
    fn key_and_home(&self, text: &[u8], start: usize, end: usize) -> (Key, usize) {
        let length = end - start;
        // No call in here returns a key: one that went through memory took a quarter of all time,
        // as it was written in halves and read as a whole.
        if length > MAX_SHORT {
            let hash = self.hash_long(&text[start..end]);
            return (long_key(hash, NO_NUMBER), self.home(hash));
        }
        let key = short_key(text, start, length);
        (key, self.home(self.seeds.hash_key(key)))
    }

    /// Anything for a pretoken that is not remembered.
    fn hash_long(&self, pretoken: &[u8]) -> u64 {
        match pretoken.len() {
            ..=MAX_PRETOKEN_BYTES => self.seeds.hash_long(pretoken),
            _ => 0,
        }
    }

    /// Appends the ids of a pretoken that is not at home, or is long, if it is known.
    #[inline(never)]
    fn append_known<T: TokenId>(
        &mut self,
        home: usize,
        key: Key,
        pretoken: &[u8],
        token_ids: &mut Vec<T>,
    ) -> bool {
        if pretoken.len() > MAX_PRETOKEN_BYTES {
            return false;
        }
        let slot = &self.slots[self.find(home, key, pretoken)].0;
        if slot.is_vacant() {
            return false;
        }
        token_ids.extend(T::all(slot.value.all(&self.token_ids)));
        true
    }

    /// Where a pretoken of at most [`MAX_PRETOKEN_BYTES`] is, or belongs.
    #[inline(always)]
    fn find(&self, home: usize, key: Key, pretoken: &[u8]) -> usize {
        match long_parts(key) {
            Some((hash, _)) => self.search(home, |slot| self.is_long(slot, hash, pretoken)),
            None => self.search(home, |slot| slot.key() == key),
        }
    }

    fn is_long(&self, slot: &Slot<Ids>, hash: u64, pretoken: &[u8]) -> bool {
        long_parts(slot.key())
            .is_some_and(|(other, number)| other == hash && self.long.get(number) == pretoken)
    }

    /// Where the search that begins at `home` ends: at what is wanted, or at the vacant slot where
    /// that belongs.
    #[inline(always)]
    fn search(&self, home: usize, is_wanted: impl Fn(&Slot<Ids>) -> bool) -> usize {
        let last = self.slots.len() - 1;
        let mut at = home;
        // Ends, because a quarter of the slots is vacant.
        while !is_wanted(&self.slots[at].0) && !self.slots[at].0.is_vacant() {
            at = (at + 1) & last;
        }
        at
    }

    /// Where the search for a hash begins.
    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        (hash >> (u64::BITS - self.slots.len().trailing_zeros())) as usize
    }

    /// Makes sure that so many more pretokens can be put in. A full cache starts anew: what is
    /// frequent comes back at once.
    #[inline]
    fn make_room(&mut self, additional: usize) {
        let (taken, of) = MAX_LOAD;
        let needed = (self.len + additional).div_ceil(taken) * of;
        if needed > self.slots.len() {
            self.grow(needed.next_power_of_two());
        } else if self.arena_bytes() > self.max_bytes / 2 {
            self.clear();
        }
    }

    /// The bytes allocated.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<CacheSlot>() + self.arena_bytes()
    }

    fn arena_bytes(&self) -> usize {
        self.long.memory_bytes() + self.token_ids.capacity() * size_of::<u32>()
    }

    #[cold]
    fn grow(&mut self, slots: usize) {
        let slots = slots.max(MIN_SLOTS.min(self.max_slots));
        let mut new = Vec::new();
        // A process at its memory limit goes on with the room it has, where it would be aborted.
        let is_first = self.slots.is_empty();
        if slots > self.max_slots || new.try_reserve_exact(slots).is_err() && !is_first {
            return self.clear();
        }
        advise_huge_pages(new.spare_capacity_mut());
        new.resize(slots, CacheSlot::default());
        let old = std::mem::replace(&mut self.slots, new);
        for slot in old.into_iter().filter(|slot| !slot.0.is_vacant()) {
            let key = slot.0.key();
            let hash = match long_parts(key) {
                Some((hash, _)) => hash,
                None => self.seeds.hash_key(key),
            };
            let vacant = self.search(self.home(hash), |_| false);
            self.slots[vacant] = slot;
        }
    }

    fn clear(&mut self) {
        self.slots.fill(CacheSlot::default());
        self.len = 0;
        self.long = LongPretokens::default();
        self.token_ids = Vec::new();
    }
}
