//! Eight bytes of a text looked at together.
//!
//! A loop over single bytes ends where the processor does not foresee it, once for every word; the
//! end of a run in a 64-bit word is one calculation.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = ONES << 7;
/// What tells `a` from `A`.
const CASE: u64 = ONES << 5;

/// Eight bytes, the first one lowest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Eight(u64);

/// Some of eight bytes: the high bit of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Members(u64);

impl Eight {
    /// The bytes from `at` on; `None` if there are fewer.
    #[inline]
    pub(crate) fn at(text: &str, at: usize) -> Option<Self> {
        let bytes = text.as_bytes().get(at..)?.first_chunk()?;
        Some(Self(u64::from_le_bytes(*bytes)))
    }

    /// The bytes from `at` on, fewer than eight, and zeros.
    #[cold]
    pub(crate) fn last(text: &str, at: usize) -> Self {
        let bytes = text.as_bytes().get(at..).unwrap_or_default();
        let shift = |word, &byte| word << 8 | u64::from(byte);
        Self(bytes.iter().rev().fold(0, shift))
    }

    /// The byte at place `index`, which is below 8.
    #[inline]
    pub(crate) fn byte(self, index: usize) -> u8 {
        (self.0 >> (8 * index)) as u8
    }

    /// Whether an ASCII byte stands at place `index`; none does at place 8.
    #[inline]
    pub(crate) fn has_ascii(self, index: usize) -> bool {
        index < 8 && self.byte(index).is_ascii()
    }

    /// ASCII letters.
    ///
    /// No sum carries into the next byte: 0x7f is added to 0x7f at most.
    #[inline]
    pub(crate) fn letters(self) -> Members {
        let small = (self.0 | CASE) & !HIGH;
        let reaches_a = small + ONES * u64::from(0x80 - b'a');
        let passes_z = small + ONES * u64::from(0x7f - b'z');
        Members(reaches_a & !passes_z & !self.0 & HIGH)
    }

    /// `a` to `z`
    #[inline]
    pub(crate) fn small_letters(self) -> Members {
        Members(self.letters().0 & (self.0 & CASE) << 2)
    }
}

impl Members {
    /// These, and the first byte.
    #[inline]
    pub(crate) fn with_first(self) -> Self {
        Self(self.0 | 1 << 7)
    }

    /// The first place where none stands; 8 if there is none.
    #[inline]
    pub(crate) fn run(self) -> usize {
        (!self.0 & HIGH).trailing_zeros() as usize / 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_found_in_every_place_beside_every_kind_of_byte() {
        let sets = [
            (
                Eight::letters as fn(_) -> _,
                u8::is_ascii_alphabetic as fn(&_) -> _,
            ),
            (Eight::small_letters, u8::is_ascii_lowercase),
        ];
        for (byte, beside) in
            (0..=u8::MAX).flat_map(|byte| [b'a', b'Z', 0, 0xff].map(|b| (byte, b)))
        {
            for (place, (ours, theirs)) in (0..8).flat_map(|place| sets.map(|set| (place, set))) {
                let mut bytes = [beside; 8];
                bytes[place] = byte;
                let expected = bytes.map(|byte| u8::from(theirs(&byte)) << 7);
                let found = ours(Eight(u64::from_le_bytes(bytes)));
                assert_eq!(found, Members(u64::from_le_bytes(expected)));
            }
        }
    }

    #[test]
    fn runs_end_anywhere() {
        for (small, capitals) in (0..=8).flat_map(|small| (0..=8 - small).map(move |c| (small, c)))
        {
            let text = "x".repeat(small) + &"X".repeat(capitals) + "!!!!!!!!";
            let eight = Eight::at(&text, 0).unwrap();
            assert_eq!(eight.letters().run(), small + capitals);
            assert_eq!(eight.small_letters().run(), small);
            assert_eq!(eight.small_letters().with_first().run(), small.max(1));
        }
    }

    #[test]
    fn behind_the_end_of_the_text_stand_zeros() {
        let text = "äbcdefg";
        assert!(Eight::at(text, 0).is_some_and(|eight| eight.byte(7) == b'g'));
        assert!(Eight::at(text, 1).is_none());
        let last = Eight::last(text, 5);
        assert_eq!([0, 1, 2, 3].map(|place| last.byte(place)), *b"efg\0");
        assert!(Eight::last(text, 8).has_ascii(0) && !last.has_ascii(8));
    }
}
