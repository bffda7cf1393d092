//! The pairs that are watched: how often each occurs, and where.

use std::ops::Range;

use super::tokens::SymbolPair;
use super::words::BLOCK;
use crate::error::TrainError;
use crate::watch::Watch;

/// Which of the pairs.
pub(super) type PairIndex = u32;

/// In a free slot; no pair has a separator on its left.
const FREE: u64 = 0;
const FIRST_BITS: u32 = 10;

#[derive(Clone, Copy, Debug)]
struct Watched {
    pair: SymbolPair,
    count: u64,
    /// Where its places begin; they end where those of the next pair begin.
    start: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    key: u64,
    index: PairIndex,
}

/// Pairs in the order in which they came up, their places in the same order in one array, and a
/// table that finds a pair: open addressing, at most half full.
#[derive(Debug)]
pub(super) struct Pairs {
    watched: Vec<Watched>,
    /// Where the left tokens of the pairs begin, or began: a later merge may have taken one. Those
    /// of one pair are in the order of the text, which decides how "aaa" is merged: from the left.
    places: Vec<u32>,
    /// So many of `places` are taken.
    end: usize,
    slots: Vec<Slot>,
    /// So many bits of a hash are not needed.
    shift: u32,
    /// With more pairs or places than these, it is time to sweep.
    sweep_at: (usize, usize),
    /// So many more are never worth a sweep.
    few: usize,
}

impl Pairs {
    /// With room for so many places, which the system zeroes when they are first touched.
    pub(super) fn new(places: usize, few: usize) -> Self {
        Self {
            watched: Vec::new(),
            places: vec![0; places],
            end: 0,
            slots: vec![Slot::default(); 1 << FIRST_BITS],
            shift: u64::BITS - FIRST_BITS,
            sweep_at: (0, 0),
            few,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.watched.len()
    }

    pub(super) fn indices(&self) -> Range<PairIndex> {
        0..self.watched.len() as PairIndex
    }

    #[inline]
    pub(super) fn pair(&self, index: PairIndex) -> SymbolPair {
        self.watched[index as usize].pair
    }

    #[inline]
    pub(super) fn count(&self, index: PairIndex) -> u64 {
        self.watched[index as usize].count
    }

    #[inline]
    pub(super) fn count_mut(&mut self, index: PairIndex) -> &mut u64 {
        &mut self.watched[index as usize].count
    }

    #[inline]
    pub(super) fn places(&self) -> &[u32] {
        &self.places
    }

    #[inline]
    pub(super) fn places_mut(&mut self) -> &mut [u32] {
        &mut self.places
    }

    /// Which of the places are those of this pair.
    pub(super) fn range(&self, index: PairIndex) -> Range<usize> {
        let index = index as usize;
        let next = self.watched.get(index + 1);
        self.watched[index].start..next.map_or(self.end, |next| next.start)
    }

    #[inline]
    pub(super) fn find(&self, pair: SymbolPair) -> Option<PairIndex> {
        let slot = self.slots[self.slot(key(pair))];
        (slot.key != FREE).then_some(slot.index)
    }

    /// Brings into the cache what finding these pairs will look at first.
    pub(super) fn warm(&self, pairs: impl Iterator<Item = SymbolPair>) {
        // Nothing depends on these loads, so the processor waits for all of them at once.
        let slots = pairs.map(|pair| &self.slots[self.home(key(pair))]);
        std::hint::black_box(slots.fold(0, |sum, slot| sum ^ slot.key));
    }

    #[inline]
    fn home(&self, key: u64) -> usize {
        (mix(key) >> self.shift) as usize
    }

    /// Adds a pair that is not there, with room for so many places, and tells where that begins.
    pub(super) fn add(
        &mut self,
        pair: SymbolPair,
        count: u64,
        places: usize,
        watch: &Watch,
    ) -> Result<usize, TrainError> {
        let what = "pairs of tokens";
        let index = PairIndex::try_from(self.len()).map_err(|_| TrainError::TooMany { what })?;
        let start = self.end;
        self.end += places;
        self.watched.push(Watched { pair, count, start });
        if self.end > self.places.len() {
            self.places.resize(self.end, 0);
        }
        if 2 * self.len() > self.slots.len() {
            self.rehash(2 * self.slots.len(), watch)?;
        } else {
            self.enter(key(pair), index);
        }
        Ok(start)
    }

    pub(super) fn should_sweep(&self) -> bool {
        self.len() > self.sweep_at.0 || self.end > self.sweep_at.1
    }

    /// Drops all pairs but those that are `worth` it, with their places. The others stay in order.
    pub(super) fn sweep(
        &mut self,
        worth: impl Fn(SymbolPair, u64) -> bool,
        watch: &Watch,
    ) -> Result<(), TrainError> {
        let (mut kept, mut end) = (0, 0);
        for index in self.indices() {
            let Watched { pair, count, .. } = self.watched[index as usize];
            if worth(pair, count) {
                watch.check()?;
                let range = self.range(index);
                let length = range.len();
                self.places.copy_within(range, end);
                self.watched[kept] = Watched {
                    pair,
                    count,
                    start: end,
                };
                (kept, end) = (kept + 1, end + length);
            }
        }
        self.watched.truncate(kept);
        self.places.truncate(end);
        self.end = end;
        self.rehash(self.slots.len(), watch)?;
        self.plan_sweep();
        Ok(())
    }

    /// The next sweep is due when the room taken has grown by half.
    pub(super) fn plan_sweep(&mut self) {
        let more = |len: usize| len + (len / 2).max(self.few);
        self.sweep_at = (more(self.len()), more(self.end));
    }

    fn rehash(&mut self, slots: usize, watch: &Watch) -> Result<(), TrainError> {
        self.slots = vec![Slot::default(); slots];
        self.shift = u64::BITS - slots.ilog2();
        for index in self.indices() {
            if (index as usize).is_multiple_of(BLOCK) {
                watch.check()?;
            }
            self.enter(key(self.pair(index)), index);
        }
        Ok(())
    }

    #[inline]
    fn enter(&mut self, key: u64, index: PairIndex) {
        let slot = self.slot(key);
        self.slots[slot] = Slot { key, index };
    }

    /// The slot that holds the pair, or the free one where it would be.
    #[inline]
    fn slot(&self, key: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = (mix(key) >> self.shift) as usize;
        while self.slots[at].key != key && self.slots[at].key != FREE {
            at = (at + 1) & mask;
        }
        at
    }
}

fn key((left, right): SymbolPair) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// Spreads all bits of a key over the upper ones of the hash.
#[inline]
fn mix(key: u64) -> u64 {
    let mixed = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93)
}
