//! A pretoken on its way from one sorted thing to another: nearly all are a single number.

use std::cmp::Ordering;

use crate::table::{Key, MAX_SHORT, short_key};

/// The first 15 bytes of a pretoken, with zeros behind, then one more than how many these are, or
/// [`LONGER`]: as a number.
///
/// Of different keys, the smaller is that of the smaller pretoken. The same key means the same
/// pretoken, but for longer ones, of which the rest is to be compared as well.
///
/// The key of a short pretoken in a table is this one with its bytes the other way round. So
/// nothing is looked up to sort it or to give it out: when what was sorted pointed at the
/// pretokens, which lie all over the memory, waiting for them was half of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SortKey(u128);

/// The last byte of the key of a pretoken with more than 15 bytes.
const LONGER: u128 = 0xff;
const BYTES: usize = 16;

impl SortKey {
    /// Of a short pretoken, by its key in a table.
    #[inline(always)]
    pub(super) fn of_short(key: Key) -> Self {
        Self(key.swap_bytes())
    }

    /// Of one with more than 15 bytes.
    #[inline]
    pub(super) fn of_longer(pretoken: &[u8]) -> Self {
        let first = pretoken.first_chunk().copied().unwrap_or_default();
        Self(u128::from_be_bytes(first) | LONGER)
    }

    #[inline(always)]
    pub(super) fn is_longer(self) -> bool {
        self.0 & LONGER == LONGER
    }

    /// How many of the 15 bytes are the pretoken's.
    #[inline(always)]
    fn short_len(self) -> usize {
        ((self.0 & LONGER) as usize - 1).min(MAX_SHORT)
    }

    /// How many bytes both begin with, up to 15.
    #[inline(always)]
    pub(super) fn shared(self, other: Self) -> usize {
        let same = ((self.0 ^ other.0) | LONGER).leading_zeros() as usize / 8;
        same.min(self.short_len()).min(other.short_len())
    }

    /// The key of a short pretoken: `shared` bytes of this one, and the `length` that `tail` begins
    /// with.
    #[inline(always)]
    fn with(self, shared: usize, tail: &[u8], length: usize) -> Self {
        let rest = short_key(tail, 0, length).swap_bytes() & !LONGER;
        let kept = self.0 & !(u128::MAX >> (8 * shared));
        Self(kept | rest >> (8 * shared) | (shared + length + 1) as u128)
    }
}

/// A pretoken that others take the place of, one after the other.
#[derive(Debug)]
pub(super) struct Pretoken {
    key: SortKey,
    /// The key as it lies in memory, whose first bytes are those of a short pretoken.
    short: [u8; BYTES],
    /// The bytes of a longer one; of a short one, anything.
    longer: Vec<u8>,
}

impl Pretoken {
    /// The empty one, before all others.
    pub(super) fn empty() -> Self {
        Self {
            key: SortKey(1),
            short: [0; BYTES],
            longer: Vec::new(),
        }
    }

    #[inline(always)]
    pub(super) fn key(&self) -> SortKey {
        self.key
    }

    #[inline(always)]
    pub(super) fn bytes(&self) -> &[u8] {
        if self.key.is_longer() {
            return &self.longer;
        }
        &self.short[..self.key.short_len()]
    }

    #[inline(always)]
    pub(super) fn set_short(&mut self, key: SortKey) {
        self.key = key;
        self.short = key.0.to_be_bytes();
    }

    pub(super) fn set_longer(&mut self, key: SortKey, bytes: &[u8]) {
        self.key = key;
        self.longer.clear();
        self.longer.extend_from_slice(bytes);
    }

    /// Becomes the same as another.
    #[inline(always)]
    pub(super) fn copy(&mut self, other: &Self) {
        if other.key.is_longer() {
            self.set_longer(other.key, &other.longer);
        } else {
            self.set_short(other.key);
        }
    }

    /// Becomes what comes after it in a file: `shared` of its bytes, and `length` that `tail` begins
    /// with.
    ///
    /// # Errors
    ///
    /// What is wrong, if that is not greater, with all shared that can be; nothing has changed then.
    #[inline(always)]
    pub(super) fn move_on(
        &mut self,
        shared: usize,
        tail: &[u8],
        length: usize,
    ) -> Result<(), &'static str> {
        if shared + length > MAX_SHORT {
            return self.move_on_to_longer(shared, tail.get(..length).unwrap_or_default());
        }
        if shared > self.bytes().len() {
            return Err(SHARES_MORE);
        }
        let next = self.key.with(shared, tail, length);
        if next <= self.key {
            return Err(NOT_ASCENDING);
        }
        if next.shared(self.key) > shared {
            return Err(SHARES_LESS);
        }
        self.set_short(next);
        Ok(())
    }

    #[inline(never)]
    fn move_on_to_longer(&mut self, shared: usize, rest: &[u8]) -> Result<(), &'static str> {
        let differing = self.bytes().get(shared..).ok_or(SHARES_MORE)?;
        if rest <= differing {
            return Err(NOT_ASCENDING);
        }
        if shared < MAX_SHORT && rest.first() == differing.first() {
            return Err(SHARES_LESS);
        }
        if !self.key.is_longer() {
            self.longer.clear();
            self.longer.extend_from_slice(&self.short[..shared]);
        }
        self.longer.truncate(shared);
        self.longer.extend_from_slice(rest);
        self.key = SortKey::of_longer(&self.longer);
        Ok(())
    }
}

const SHARES_MORE: &str = "an entry shares more than there is";
const NOT_ASCENDING: &str = "pretokens do not ascend";
const SHARES_LESS: &str = "an entry shares less than it could";

impl Ord for Pretoken {
    #[inline(always)]
    fn cmp(&self, other: &Self) -> Ordering {
        match self.key.cmp(&other.key) {
            Ordering::Equal if self.key.is_longer() => self.longer.cmp(&other.longer),
            order => order,
        }
    }
}

impl PartialOrd for Pretoken {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pretoken {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Pretoken {}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Prefixes of each other, with and without zeros behind, around the length that a key holds.
    pub(in crate::count) fn pretokens() -> impl Strategy<Value = Vec<u8>> {
        let runs = (0..2_u8, 0..30_usize).prop_map(|(byte, length)| vec![byte; length]);
        prop_oneof![runs, prop::collection::vec(0..3_u8, 0..20)]
    }

    pub(in crate::count) fn pretoken(bytes: &[u8]) -> Pretoken {
        let mut pretoken = Pretoken::empty();
        match bytes.len() {
            0..=MAX_SHORT => {
                pretoken.set_short(SortKey::of_short(short_key(bytes, 0, bytes.len())))
            }
            _ => pretoken.set_longer(SortKey::of_longer(bytes), bytes),
        }
        pretoken
    }

    /// How many bytes both begin with, up to 15.
    fn shared(left: &[u8], right: &[u8]) -> usize {
        let pairs = left.iter().zip(right).take(15);
        pairs.take_while(|(left, right)| left == right).count()
    }

    proptest! {
        #[test]
        fn a_pretoken_is_its_bytes(left in pretokens(), right in pretokens()) {
            let (ours, theirs) = (pretoken(&left), pretoken(&right));
            prop_assert_eq!(ours.bytes(), &left[..]);
            prop_assert_eq!(ours.cmp(&theirs), left.cmp(&right));
            prop_assert_eq!(ours.key().shared(theirs.key()), shared(&left, &right));
            let mut copy = ours;
            copy.copy(&theirs);
            prop_assert_eq!(copy.bytes(), &right[..]);
        }

        #[test]
        fn it_moves_on_to_a_greater_one_that_shares_what_it_can(
            left in pretokens(), right in pretokens(), claimed in 0..=15_usize, more in pretokens(),
        ) {
            let most = shared(&left, &right);
            for claimed in [most, claimed] {
                let mut ours = pretoken(&left);
                let rest = right.get(claimed..).unwrap_or_default();
                let next = [left.get(..claimed).unwrap_or_default(), rest].concat();
                let moved = ours.move_on(claimed, &[rest, &more].concat(), rest.len());
                let is_right =
                    claimed <= left.len() && next > left && claimed == shared(&left, &next);
                prop_assert_eq!(moved.is_ok(), is_right);
                prop_assert_eq!(ours.bytes(), if is_right { &next[..] } else { &left[..] });
            }
        }
    }
}
