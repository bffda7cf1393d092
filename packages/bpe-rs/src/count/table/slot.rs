//! What lies in a place of the table: a pretoken, or where it is found, and its count.
//!
//! ```text
//!             8 bytes        7 bytes          1 byte       8 bytes
//! vacant      0              0                0            0
//! short       the pretoken, zeros behind      length + 1   count
//! long        hash           number           255          count
//! ```

/// A longer pretoken lies elsewhere.
pub(super) const MAX_SHORT: usize = 15;
const LONG: u8 = u8::MAX;
const KEY_BYTES: usize = 16;
const KIND_SHIFT: u32 = 120;
const NUMBER_SHIFT: u32 = 64;

/// What the first 16 bytes of a slot say, in little-endian order.
pub(super) type Key = u128;

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
pub(super) fn short_key(text: &[u8], start: usize, length: usize) -> Key {
    debug_assert!(length <= MAX_SHORT && start + length <= text.len());
    let ahead = text.get(start..).unwrap_or_default();
    let bytes = match ahead.first_chunk() {
        Some(chunk) => Key::from_le_bytes(*chunk),
        None => last_bytes(ahead),
    };
    bytes & MASKS[length % KEY_BYTES] | (length as Key + 1) << KIND_SHIFT
}

/// Fewer than 16 bytes: the text ends before.
#[cold]
fn last_bytes(bytes: &[u8]) -> Key {
    let mut padded = [0; KEY_BYTES];
    for (to, from) in padded.iter_mut().zip(bytes) {
        *to = *from;
    }
    Key::from_le_bytes(padded)
}

/// The key of the long pretoken with this hash and number.
pub(super) fn long_key(hash: u64, number: usize) -> Key {
    Key::from(hash) | (number as Key) << NUMBER_SHIFT | Key::from(LONG) << KIND_SHIFT
}

/// A place of the table. The key is kept as bytes, so that a short pretoken can be lent from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    key: [u8; KEY_BYTES],
    pub(super) count: u64,
}

/// What a taken slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held<'a> {
    /// The pretoken.
    Short(&'a [u8]),
    /// Its hash and its number.
    Long { hash: u64, number: usize },
}

impl Slot {
    pub(super) const VACANT: Self = Self {
        key: [0; KEY_BYTES],
        count: 0,
    };

    pub(super) fn new(key: Key, count: u64) -> Self {
        let key = key.to_le_bytes();
        Self { key, count }
    }

    #[inline(always)]
    pub(super) fn key(&self) -> Key {
        Key::from_le_bytes(self.key)
    }

    #[inline(always)]
    pub(super) fn is_vacant(&self) -> bool {
        self.key[KEY_BYTES - 1] == 0
    }

    /// The pretoken or where it is; `None` in a vacant slot.
    #[inline]
    pub(super) fn held(&self) -> Option<Held<'_>> {
        let key = self.key();
        match self.key[KEY_BYTES - 1] {
            LONG => Some(Held::Long {
                hash: key as u64,
                number: (key << 8 >> (NUMBER_SHIFT + 8)) as usize,
            }),
            kind => {
                let length = usize::from(kind).checked_sub(1)?;
                self.key.get(..length).map(Held::Short)
            }
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
                assert_eq!(slot.held(), Some(Held::Short(&alone)));
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
            for number in [0, 1, (1 << 56) - 1] {
                let slot = Slot::new(long_key(hash, number), 1);
                assert_eq!(slot.held(), Some(Held::Long { hash, number }));
            }
        }
    }

    #[test]
    fn a_vacant_slot_holds_nothing() {
        assert!(Slot::VACANT.is_vacant());
        assert_eq!(Slot::VACANT.held(), None);
    }
}
