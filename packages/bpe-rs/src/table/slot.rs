//! What lies in a place of a table: a pretoken, or where it is found, and a value, such as its count.
//!
//! ```text
//!             8 bytes        7 bytes          1 byte
//! vacant      0              0                0            any value
//! short       the pretoken, zeros behind      length + 1   its value
//! long        hash           number           255          its value
//! ```

/// A longer pretoken lies elsewhere.
pub(crate) const MAX_SHORT: usize = 15;
const LONG: u8 = u8::MAX;
const KEY_BYTES: usize = 16;
const KIND_SHIFT: u32 = 120;
const NUMBER_SHIFT: u32 = 64;
const NUMBER_BITS: u32 = KIND_SHIFT - NUMBER_SHIFT;

/// What the first 16 bytes of a slot say, in little-endian order.
pub(crate) type Key = u128;

/// `MASKS[length]` has the first `length` bytes set.
const MASKS: [Key; KEY_BYTES] = {
    let mut masks = [0; KEY_BYTES];
    let mut length = 0;
    while length < KEY_BYTES {
        masks[length] = (1 << (8 * length)) - 1;
        length += 1;
    }
    masks
};

/// The key of the pretoken of `length` bytes, at most [`MAX_SHORT`], that begins at `start`.
#[inline(always)]
pub(crate) fn short_key(text: &[u8], start: usize, length: usize) -> Key {
    debug_assert!(length <= MAX_SHORT && start + length <= text.len());
    let bytes = match text
        .get(start..start + KEY_BYTES)
        .and_then(<[u8]>::first_chunk)
    {
        Some(chunk) => Key::from_le_bytes(*chunk),
        None => last_bytes(text.get(start..).unwrap_or_default()),
    };
    bytes & MASKS[length % KEY_BYTES] | (length as Key + 1) << KIND_SHIFT
}

/// Fewer than 16 bytes: the text ends before.
#[cold]
#[inline(never)] // else its bytes are built in memory, and all keys go through there
fn last_bytes(bytes: &[u8]) -> Key {
    let mut padded = [0; KEY_BYTES];
    for (to, from) in padded.iter_mut().zip(bytes) {
        *to = *from;
    }
    Key::from_le_bytes(padded)
}

/// The number of a long pretoken that has none yet: this key is in no slot.
pub(crate) const NO_NUMBER: u64 = (1 << NUMBER_BITS) - 1;

/// The key of the long pretoken with this hash and number.
#[inline]
pub(crate) fn long_key(hash: u64, number: u64) -> Key {
    Key::from(hash) | (number as Key) << NUMBER_SHIFT | Key::from(LONG) << KIND_SHIFT
}

/// Hash and number of a long pretoken; `None` for the key of a short one.
#[inline(always)]
pub(crate) fn long_parts(key: Key) -> Option<(u64, u64)> {
    let number = (key >> NUMBER_SHIFT) as u64 & NO_NUMBER;
    ((key >> KIND_SHIFT) as u8 == LONG).then_some((key as u64, number))
}

/// A place of a table. The key is kept as bytes, so that a short pretoken can be lent from it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slot<V> {
    key: [u8; KEY_BYTES],
    pub(crate) value: V,
}

impl<V> Slot<V> {
    pub(crate) fn new(key: Key, value: V) -> Self {
        let key = key.to_le_bytes();
        Self { key, value }
    }

    #[inline(always)]
    pub(crate) fn key(&self) -> Key {
        Key::from_le_bytes(self.key)
    }

    #[inline(always)]
    pub(crate) fn is_vacant(&self) -> bool {
        self.key[KEY_BYTES - 1] == 0
    }

    /// The short pretoken that is here.
    pub(crate) fn short(&self) -> &[u8] {
        let length = usize::from(self.key[KEY_BYTES - 1]).saturating_sub(1);
        &self.key[..length.min(MAX_SHORT)]
    }
}

impl Slot<u64> {
    /// Adds one to a count, if this is the slot of that key and there is room in the count.
    #[inline(always)]
    pub(crate) fn count_one(&mut self, key: Key) -> bool {
        match self.value.checked_add(1) {
            Some(sum) if self.key() == key => {
                self.value = sum;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_key_depends_on_the_pretoken_alone() {
        let text: Vec<u8> = (1..=64).collect();
        for end in 0..=text.len() {
            for start in end.saturating_sub(MAX_SHORT)..=end {
                let here = short_key(&text, start, end - start);
                let alone: Box<[u8]> = text[start..end].into();
                assert_eq!(here, short_key(&alone, 0, alone.len()));
                let slot = Slot::new(here, 7);
                assert_eq!(slot.short(), &*alone);
                assert_eq!(long_parts(here), None);
                assert!(!slot.is_vacant());
            }
        }
    }

    #[test]
    fn zeros_at_the_end_are_part_of_a_pretoken() {
        let text = *b"a\0\0\0";
        let keys: Vec<Key> = (0..=4).map(|length| short_key(&text, 0, length)).collect();
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key));
        }
    }

    #[test]
    fn a_long_key_gives_back_hash_and_number() {
        for hash in [0, 1, u64::MAX] {
            for number in [0, 1, NO_NUMBER] {
                let key = long_key(hash, number);
                assert_eq!(long_parts(key), Some((hash, number)));
                assert!(!Slot::new(key, 1).is_vacant());
            }
        }
    }
}
