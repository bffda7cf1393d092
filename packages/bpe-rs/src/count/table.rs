//! The pretokens of a text and their counts, in one flat table.
//!
//! Nearly all pretokens are short, so a slot holds the bytes themselves beside the count: to count a
//! pretoken seen before takes two multiplications and one cache line, and follows no pointer.
//!
//! A search begins at the slot that the first bits of the hash name, the pretoken's home, and goes
//! on from slot to slot until it meets the pretoken or a vacant slot. Nothing is ever taken out of
//! a table, so two slots on the way of a search may be exchanged, if neither pretoken comes to
//! stand before its home: that is how frequent pretokens get to stand at theirs.
//!
//! Homes are in the order of the hashes, and all tables of a process hash alike. So growing and
//! merging walk through both tables from end to end, whatever their sizes, and wait for no memory.

use crate::error::TrainError;
use crate::table::{
    Key, LongPretokens, MAX_SHORT, NO_NUMBER, Seeds, long_key, long_parts, prefetch, short_key,
};

type Slot = crate::table::Slot<u64>;

/// 24 kB: a small corpus should not pay for a large one.
const MIN_SLOTS: usize = 1 << 10;
/// Three of four slots are taken at most. One of two is no faster: frequent pretokens are at home
/// anyway, and a smaller table is better cached.
const MAX_LOAD: (usize, usize) = (3, 4);
/// So many homes are asked for before the first of them is searched. With 32, the first has not
/// come yet; with 128, the last have pushed it out.
const AHEAD: usize = 64;

/// How often each pretoken occurs.
#[derive(Clone, Debug)]
pub(crate) struct PretokenTable {
    /// A power of two of them, never all taken.
    slots: Vec<Slot>,
    /// How many of them are taken.
    len: usize,
    long: LongPretokens,
    seeds: Seeds,
}

impl PretokenTable {
    pub(crate) fn new() -> Self {
        Self::with_slots(MIN_SLOTS)
    }

    /// An empty table of a power of two of slots.
    fn with_slots(slots: usize) -> Self {
        Self {
            slots: vec![Slot::default(); slots],
            len: 0,
            long: LongPretokens::default(),
            seeds: Seeds::of_process(),
        }
    }

    /// How many distinct pretokens there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes allocated.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.long.memory_bytes()
    }

    /// Each distinct pretoken and its count, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.taken().map(|slot| (self.pretoken(slot), slot.value))
    }

    /// The keys and counts that [`PretokenTable::iter`] gives the pretokens and counts of.
    pub(super) fn keys(&self) -> impl Iterator<Item = (Key, u64)> {
        self.taken().map(|slot| (slot.key(), slot.value))
    }

    /// The long pretoken of this number, which its key has.
    #[inline]
    pub(super) fn long(&self, number: u64) -> &[u8] {
        self.long.get(number)
    }

    /// Counts each pretoken of a batch once; the first begins at `start`, each other where the one
    /// before ends.
    ///
    /// # Errors
    ///
    /// [`TrainError::CountOverflow`]; part of the batch has been counted then.
    pub(crate) fn add_batch(
        &mut self,
        text: &[u8],
        mut start: usize,
        ends: &[usize],
    ) -> Result<(), TrainError> {
        let mut ahead = [(0, 0); AHEAD];
        for ends in ends.chunks(AHEAD) {
            self.make_room(ends.len());
            self.look_ahead(text, start, ends, &mut ahead);
            for (&(key, home), &end) in ahead.iter().zip(ends) {
                if !self.slots[home].count_one(key) {
                    self.add_from(home, key, &text[start..end], 1)?;
                }
                start = end;
            }
        }
        Ok(())
    }

    /// Adds `count` to one pretoken.
    ///
    /// # Errors
    ///
    /// [`TrainError::CountOverflow`], and nothing has changed.
    pub(crate) fn add(&mut self, pretoken: &[u8], count: u64) -> Result<(), TrainError> {
        self.make_room(1);
        let (key, home) = self.key_and_home(pretoken, 0, pretoken.len());
        self.add_from(home, key, pretoken, count)
    }

    /// The sum of both.
    ///
    /// # Errors
    ///
    /// [`TrainError::CountOverflow`]; part of `other` has been added then.
    pub(crate) fn merge(&mut self, mut other: Self) -> Result<(), TrainError> {
        if self.len < other.len {
            std::mem::swap(self, &mut other);
        }
        // Room at once, as pretokens that come in the order of their homes pile up in a table that
        // grows under them. Counted, as parts of a corpus share most of their pretokens: the sum
        // of both lengths would be nearly twice what is needed.
        self.make_room(other.taken().filter(|slot| !self.seems_known(slot)).count());
        for slot in other.taken() {
            let key = slot.key();
            let home = self.home(self.hash(key));
            self.add_from(home, key, other.pretoken(slot), slot.value)?;
            self.make_room(1); // has always been made, but for pretokens whose hashes are equal
        }
        Ok(())
    }

    /// Whether the pretoken of another table's slot is here; of a long one, whether its hash is.
    fn seems_known(&self, slot: &Slot) -> bool {
        let key = slot.key();
        let hash_of_long = |key| long_parts(key).map(|(hash, _)| hash);
        let long = hash_of_long(key);
        let at = self.search_from(self.home(self.hash(key)), |slot| match long {
            Some(_) => hash_of_long(slot.key()) == long,
            None => slot.key() == key,
        });
        !self.slots[at].is_vacant()
    }

    fn taken(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| !slot.is_vacant())
    }

    /// The pretoken that a taken slot of this table stands for.
    fn pretoken<'a>(&'a self, slot: &'a Slot) -> &'a [u8] {
        match long_parts(slot.key()) {
            Some((_, number)) => self.long.get(number),
            None => slot.short(),
        }
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
        if length > MAX_SHORT {
            let hash = self.seeds.hash_long(&text[start..end]);
            return (long_key(hash, NO_NUMBER), self.home(hash));
        }
        let key = short_key(text, start, length);
        (key, self.home(self.seeds.hash_key(key)))
    }

    /// Adds to the pretoken with this key and home. Needs room for one.
    #[inline(never)]
    fn add_from(
        &mut self,
        home: usize,
        key: Key,
        pretoken: &[u8],
        count: u64,
    ) -> Result<(), TrainError> {
        match long_parts(key) {
            Some((hash, _)) => self.add_long(home, hash, pretoken, count),
            None => self.add_short(home, key, count),
        }
    }

    #[inline(always)]
    fn add_short(&mut self, home: usize, key: Key, count: u64) -> Result<(), TrainError> {
        let at = self.search_from(home, |slot| slot.key() == key);
        if self.slots[at].is_vacant() {
            self.put(at, key, count);
            Ok(())
        } else {
            self.raise(at, home, count)
        }
    }

    fn add_long(
        &mut self,
        home: usize,
        hash: u64,
        pretoken: &[u8],
        count: u64,
    ) -> Result<(), TrainError> {
        let at = self.search_from(home, |slot| self.is_long(slot, hash, pretoken));
        if self.slots[at].is_vacant() {
            let key = long_key(hash, self.long.push(pretoken));
            self.put(at, key, count);
            Ok(())
        } else {
            self.raise(at, home, count)
        }
    }

    fn is_long(&self, slot: &Slot, hash: u64, pretoken: &[u8]) -> bool {
        long_parts(slot.key())
            .is_some_and(|(other, number)| other == hash && self.long.get(number) == pretoken)
    }

    /// Where the search that begins at `home` ends: at what is wanted, or at the vacant slot where
    /// that belongs.
    #[inline(always)]
    fn search_from(&self, home: usize, is_wanted: impl Fn(&Slot) -> bool) -> usize {
        let last = self.slots.len() - 1;
        let mut at = home;
        // Ends, because a quarter of the slots is vacant.
        while !is_wanted(&self.slots[at]) && !self.slots[at].is_vacant() {
            at = (at + 1) & last;
        }
        at
    }

    fn put(&mut self, at: usize, key: Key, count: u64) {
        self.slots[at] = Slot::new(key, count);
        self.len += 1;
    }

    /// Adds to a pretoken's count. If it has become more frequent than the one that stands at its
    /// home they change places: that one's home is no later, so it is found on the same way. Mixed
    /// text is counted in 10 % less time for it.
    #[inline(always)]
    fn raise(&mut self, at: usize, home: usize, count: u64) -> Result<(), TrainError> {
        let slot = &mut self.slots[at];
        slot.value = slot
            .value
            .checked_add(count)
            .ok_or(TrainError::CountOverflow)?;
        if at != home && self.slots[at].value > self.slots[home].value {
            self.slots.swap(at, home);
        }
        Ok(())
    }

    /// The hash of the pretoken with this key.
    fn hash(&self, key: Key) -> u64 {
        match long_parts(key) {
            Some((hash, _)) => hash,
            None => self.seeds.hash_key(key),
        }
    }

    /// Where the search for a hash begins.
    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        (hash >> (u64::BITS - self.slots.len().trailing_zeros())) as usize
    }

    /// Makes sure that so many more pretokens can be put in.
    #[inline]
    fn make_room(&mut self, additional: usize) {
        let (taken, of) = MAX_LOAD;
        let needed = (self.len + additional).div_ceil(taken) * of;
        if needed > self.slots.len() {
            self.grow(needed.next_power_of_two());
        }
    }

    #[cold]
    fn grow(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); slots]);
        for slot in old.into_iter().filter(|slot| !slot.is_vacant()) {
            let vacant = self.search_from(self.home(self.hash(slot.key())), |_| false);
            self.slots[vacant] = slot;
        }
    }
}

/// For the benchmarks: counts the pretokens of `text` that end at `ends`, and returns how many
/// distinct ones there are.
///
/// # Errors
///
/// [`TrainError::CountOverflow`], which 2^64 pretokens would be needed for.
#[doc(hidden)]
pub fn count_distinct(text: &str, ends: &[usize]) -> Result<usize, TrainError> {
    let mut table = PretokenTable::new();
    table.add_batch(text.as_bytes(), 0, ends)?;
    Ok(table.len())
}

#[cfg(test)]
mod tests;
