//! The pretokens of a text and their counts, in one flat table.
//!
//! Nearly all pretokens are short, so a slot holds the bytes themselves beside the count: to count a
//! pretoken seen before takes one multiplication and one cache line, and follows no pointer.
//!
//! A search begins at the slot that the first bits of the hash name, the pretoken's home, and goes
//! on from slot to slot until it meets the pretoken or a vacant slot. Nothing is ever taken out of
//! a table, so two slots on the way of a search may be exchanged, if neither pretoken comes to
//! stand before its home: that is how frequent pretokens get to stand at theirs.
//!
//! Homes are in the order of the hashes, and all tables of a process hash alike. So growing and
//! merging walk through both tables from end to end, whatever their sizes, and wait for no memory.

mod hash;
mod long;
mod prefetch;
mod slot;

use crate::error::TrainError;

use hash::Seeds;
use long::LongPretokens;
use prefetch::prefetch;
use slot::{Held, Key, MAX_SHORT, Slot, long_key, short_key};

/// 24 kB: a small corpus should not pay for a large one.
const MIN_SLOTS: usize = 1 << 10;
/// Three of four slots are taken at most. One of two is no faster: frequent pretokens are at home
/// anyway, and a smaller table is better cached.
const MAX_LOAD: (usize, usize) = (3, 4);
/// So many homes are asked for before the first of them is searched.
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
            slots: vec![Slot::VACANT; slots],
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
        self.slots.iter().filter_map(|slot| {
            let pretoken = match slot.held()? {
                Held::Short(pretoken) => pretoken,
                Held::Long { number, .. } => self.long.get(number),
            };
            Some((pretoken, slot.count))
        })
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
            let mut waiting = ahead.iter_mut();
            for &end in ends {
                let length = end - start;
                if length > MAX_SHORT {
                    self.add_wanted(self.wanted(&text[start..end]), 1)?;
                } else if let Some(place) = waiting.next() {
                    let key = short_key(text, start, length);
                    let home = self.home(self.seeds.hash_key(key));
                    prefetch(&self.slots[home]);
                    *place = (key, home);
                }
                start = end;
            }
            let short = AHEAD - waiting.len();
            for &(key, home) in &ahead[..short] {
                self.add_short(key, home, 1)?;
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
        self.add_wanted(self.wanted(pretoken), count)
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
        // Counted, not guessed: parts of a corpus share most of their pretokens, and room for the
        // sum of both lengths would be twice what is needed.
        let is_new = |(wanted, _): &(Wanted, u64)| self.slots[self.search(*wanted)].is_vacant();
        self.make_room(other.all_wanted().filter(is_new).count());
        other
            .all_wanted()
            .try_for_each(|(wanted, count)| self.add_wanted(wanted, count))
    }

    /// What a pretoken is searched by.
    fn wanted<'a>(&self, pretoken: &'a [u8]) -> Wanted<'a> {
        if pretoken.len() > MAX_SHORT {
            Wanted::Long(self.seeds.hash_long(pretoken), pretoken)
        } else {
            Wanted::Short(short_key(pretoken, 0, pretoken.len()))
        }
    }

    /// All pretokens, in the order of their homes but for the few that were displaced.
    fn all_wanted(&self) -> impl Iterator<Item = (Wanted<'_>, u64)> {
        self.slots.iter().filter_map(|slot| {
            let wanted = match slot.held()? {
                Held::Short(_) => Wanted::Short(slot.key()),
                Held::Long { hash, number } => Wanted::Long(hash, self.long.get(number)),
            };
            Some((wanted, slot.count))
        })
    }

    /// Where the pretoken is, or the vacant slot where it belongs.
    fn search(&self, wanted: Wanted<'_>) -> usize {
        match wanted {
            Wanted::Short(key) => {
                let home = self.home(self.seeds.hash_key(key));
                self.search_from(home, |slot| slot.key() == key)
            }
            Wanted::Long(hash, pretoken) => self.search_from(self.home(hash), |slot| {
                matches!(slot.held(), Some(Held::Long { hash: other, number })
                    if other == hash && self.long.get(number) == pretoken)
            }),
        }
    }

    #[inline(always)]
    fn search_from(&self, home: usize, is_wanted: impl Fn(&Slot) -> bool) -> usize {
        let last = self.slots.len() - 1;
        let mut at = home;
        // Ends, because there is a vacant slot.
        while !is_wanted(&self.slots[at]) && !self.slots[at].is_vacant() {
            at = (at + 1) & last;
        }
        at
    }

    /// Needs room for one.
    fn add_wanted(&mut self, wanted: Wanted<'_>, count: u64) -> Result<(), TrainError> {
        match wanted {
            Wanted::Short(key) => self.add_short(key, self.home(self.seeds.hash_key(key)), count),
            Wanted::Long(hash, pretoken) => {
                let at = self.search(wanted);
                if self.slots[at].is_vacant() {
                    let number = self.long.push(pretoken);
                    self.put(at, long_key(hash, number), count);
                    Ok(())
                } else {
                    self.raise(at, self.home(hash), count)
                }
            }
        }
    }

    #[inline(always)]
    fn add_short(&mut self, key: Key, home: usize, count: u64) -> Result<(), TrainError> {
        let at = self.search_from(home, |slot| slot.key() == key);
        if self.slots[at].is_vacant() {
            self.put(at, key, count);
            Ok(())
        } else {
            self.raise(at, home, count)
        }
    }

    fn put(&mut self, at: usize, key: Key, count: u64) {
        self.slots[at] = Slot::new(key, count);
        self.len += 1;
    }

    /// Adds to a pretoken's count. If it has become more frequent than the one that stands at its
    /// home they change places: that one's home is no later, so it is found on the same way.
    #[inline(always)]
    fn raise(&mut self, at: usize, home: usize, count: u64) -> Result<(), TrainError> {
        let slot = &mut self.slots[at];
        slot.count = slot
            .count
            .checked_add(count)
            .ok_or(TrainError::CountOverflow)?;
        if at != home && self.slots[at].count > self.slots[home].count {
            self.slots.swap(at, home);
        }
        Ok(())
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
        let old = std::mem::replace(&mut self.slots, vec![Slot::VACANT; slots]);
        for slot in old {
            let hash = match slot.held() {
                None => continue,
                Some(Held::Short(_)) => self.seeds.hash_key(slot.key()),
                Some(Held::Long { hash, .. }) => hash,
            };
            let vacant = self.search_from(self.home(hash), |_| false);
            self.slots[vacant] = slot;
        }
    }
}

/// A pretoken as it is searched for.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    Short(Key),
    /// With its hash.
    Long(u64, &'a [u8]),
}

#[cfg(test)]
mod tests {
    //! Properties, against a map from the standard library; and the limits.

    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    type Counts = BTreeMap<Vec<u8>, u64>;

    /// Begins so small that searches meet other pretokens, and growth, from the start.
    fn tiny() -> PretokenTable {
        PretokenTable::with_slots(4)
    }

    fn table(counts: &[(Vec<u8>, u64)]) -> PretokenTable {
        let mut table = tiny();
        for (pretoken, count) in counts {
            table.add(pretoken, *count).unwrap();
        }
        table
    }

    fn naive<'a>(counts: impl IntoIterator<Item = &'a (Vec<u8>, u64)>) -> Counts {
        let mut sums = Counts::new();
        for (pretoken, count) in counts {
            *sums.entry(pretoken.clone()).or_default() += count;
        }
        sums
    }

    /// The counts, after a look at whether what the table promises itself is so.
    fn counts(table: &PretokenTable) -> Counts {
        let seen: Counts = table
            .iter()
            .map(|(pretoken, count)| (pretoken.to_vec(), count))
            .collect();
        assert_eq!(seen.len(), table.len(), "no pretoken stands twice");
        assert_eq!(table.is_empty(), seen.is_empty());
        assert!(table.len() < table.slots.len() && table.slots.len().is_power_of_two());
        for pretoken in seen.keys() {
            let at = table.search(table.wanted(pretoken));
            assert_eq!(
                table.slots[at].count, seen[pretoken],
                "every pretoken is found"
            );
        }
        seen
    }

    /// Prefixes of each other with and without zeros behind, short and long and at the limit.
    fn pretoken() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop::sample::select(b"\0a\xff".to_vec());
        prop_oneof![
            vec(byte.clone(), 0..4),
            vec(byte, 0..40),
            (0..20_usize, 0..3_usize)
                .prop_map(|(letters, zeros)| { [vec![b'a'; letters], vec![0; zeros]].concat() }),
            vec(any::<u8>(), 12..20),
        ]
    }

    fn additions() -> impl Strategy<Value = Vec<(Vec<u8>, u64)>> {
        vec((pretoken(), 0..1000_u64), 0..50)
    }

    proptest! {
        #[test]
        fn counts_are_those_of_a_map(additions in additions()) {
            prop_assert_eq!(counts(&table(&additions)), naive(&additions));
        }

        /// The text ends where its allocation does.
        #[test]
        fn batches_count_each_pretoken_once(
            pretokens in vec(pretoken(), 0..100), skipped in 0..20_usize, batch in 1..90_usize,
        ) {
            let text = [vec![b'a'; skipped], pretokens.concat()].concat().into_boxed_slice();
            let ends: Vec<usize> = pretokens
                .iter()
                .scan(skipped, |end, pretoken| { *end += pretoken.len(); Some(*end) })
                .collect();
            let (mut table, mut start) = (tiny(), skipped);
            for ends in ends.chunks(batch) {
                table.add_batch(&text, start, ends).unwrap();
                start = ends[ends.len() - 1];
            }
            let ones: Vec<_> = pretokens.into_iter().map(|pretoken| (pretoken, 1)).collect();
            prop_assert_eq!(counts(&table), naive(&ones));
        }

        #[test]
        fn merging_adds_in_any_order_and_grouping(
            a in additions(), b in additions(), c in additions()
        ) {
            let sum = naive(a.iter().chain(&b).chain(&c));
            let merged = |x: &[_], y: &[_]| {
                let mut merged = table(x);
                merged.merge(table(y)).unwrap();
                merged
            };
            let mut left = merged(&a, &b);
            left.merge(table(&c)).unwrap();
            let mut right = table(&a);
            right.merge(merged(&c, &b)).unwrap();
            prop_assert_eq!(counts(&left), sum.clone());
            prop_assert_eq!(counts(&right), sum);
        }
    }

    #[test]
    fn frequent_pretokens_come_to_stand_at_their_homes() {
        let numbers: Vec<String> = (0..3000).map(|number| number.to_string()).collect();
        let mut table = tiny();
        for (count, number) in (1..).zip(&numbers) {
            table.add(number.as_bytes(), 1).unwrap();
            table.add(number.as_bytes(), count).unwrap();
        }
        for number in &numbers {
            let Wanted::Short(key) = table.wanted(number.as_bytes()) else {
                panic!("{number} is short");
            };
            let home = table.home(table.seeds.hash_key(key));
            let here = table.slots[table.search(Wanted::Short(key))].count;
            table.add(number.as_bytes(), 4000).unwrap();
            assert!(table.slots[home].count >= here + 4000);
        }
    }

    #[test]
    fn room_is_three_quarters_and_no_more() {
        let mut table = tiny();
        for number in 0_u64..3 << 10 {
            table.add(&number.to_le_bytes(), 1).unwrap();
        }
        assert_eq!(table.slots.len(), 4 << 10);
        table.make_room(0);
        assert_eq!(table.slots.len(), 4 << 10);
        table.make_room(1);
        assert_eq!(table.slots.len(), 8 << 10);
    }

    #[test]
    fn merging_equal_pretokens_takes_no_more_memory() {
        let pretokens: Vec<_> = (0..700_u64)
            .map(|number| (number.to_le_bytes().to_vec(), 1))
            .collect();
        let mut merged = table(&pretokens);
        let before = merged.memory_bytes();
        merged.merge(table(&pretokens)).unwrap();
        assert_eq!(merged.memory_bytes(), before);
        assert!(merged.iter().all(|(_, count)| count == 2));
    }

    #[test]
    fn a_sum_beyond_64_bits_is_an_error_and_changes_nothing() {
        for pretoken in [b"a".as_slice(), &[b'a'; 40]] {
            let full = table(&[(pretoken.to_vec(), u64::MAX - 1)]);
            let mut more = full.clone();
            more.add(pretoken, 1).unwrap();
            assert!(matches!(
                more.add(pretoken, 1),
                Err(TrainError::CountOverflow)
            ));
            let again = more.add_batch(pretoken, 0, &[pretoken.len()]);
            assert!(matches!(again, Err(TrainError::CountOverflow)));
            assert!(more.iter().eq([(pretoken, u64::MAX)]));
            let sum = full.clone().merge(full);
            assert!(matches!(sum, Err(TrainError::CountOverflow)));
        }
    }
}
