//! The pretokens of GPT-2's pattern, boundary by boundary.
//!
//! With masks for the classes, a pretoken begins
//!
//! * where the class changes, but not after a space that a letter, number or other sign follows,
//!   for the space is theirs: `change & (white | !space << 1)`;
//! * at the last character of a run of white space, if the text goes on;
//! * at the end of a contraction. One can be only where an apostrophe begins a pretoken, and its
//!   letters begin none.
//!
//! A mask moved by one place takes its lost bit from the neighbouring block, so a block's boundaries
//! are found when the block after it is classified. The text is thought to stand between line breaks,
//! which changes nothing: white space at the end of a text does not give back its last character.

use super::Simd;
use super::classify::{BasicPlane, Classes, Masks, Window, classify, lead_sets, window_at};
use super::ends::Ends;
use super::kernel::{BLOCK, ByteSets, Kernel, Scan};
use crate::pretokenize::{Class, contraction_length};
use crate::unicode_tables::{self, CLASSES, ROW_OF};

/// Letters and numbers.
const WORDLIKE: usize = 0;
/// Letters and white space: with [`WORDLIKE`] it tells all four classes apart.
const LETTER_OR_WHITE: usize = 1;
/// The space that a pretoken may begin with.
const SPACE: usize = 2;
const APOSTROPHE: usize = 3;
const COUNT: usize = 4;

const fn bits_of(class: Class) -> u8 {
    match class {
        Class::Letter => 1 << WORDLIKE | 1 << LETTER_OR_WHITE,
        Class::Number => 1 << WORDLIKE,
        Class::Space => 1 << LETTER_OR_WHITE,
        Class::Other => 0,
    }
}

static ASCII: ByteSets<COUNT> = {
    let mut members = [0; 128];
    let mut byte = 0;
    while byte < members.len() {
        members[byte] = bits_of(CLASSES[0][byte]);
        byte += 1;
    }
    members[b' ' as usize] |= 1 << SPACE;
    members[b'\'' as usize] |= 1 << APOSTROPHE;
    ByteSets::new(&members)
};

static BASIC_PLANE: BasicPlane<COUNT> = {
    let mut members = [[0; unicode_tables::BLOCK]; CLASSES.len()];
    let mut at = 0;
    while at < unicode_tables::BLOCK * CLASSES.len() {
        let (row, column) = (at / unicode_tables::BLOCK, at % unicode_tables::BLOCK);
        members[row][column] = bits_of(CLASSES[row][column]);
        at += 1;
    }
    BasicPlane::new(&ROW_OF, &members)
};

/// The texts of whole alphabets need no look-up: 5.4 GB/s in place of 1.1 for Russian (AVX-512).
///
/// Latin with marks, Cyrillic, Arabic (U+0680), Chinese characters, Korean syllables.
static LETTER_LEADS: ByteSets<2> =
    lead_sets(b"\xC4\xC5\xC6\xC7\xC8\xC9\xCA\xD0\xD1\xDA\xE5\xE6\xE7\xE8\xE9\xEB\xEC");

struct Gpt2;

impl Classes<COUNT> for Gpt2 {
    const ASCII: &'static ByteSets<COUNT> = &ASCII;
    const UNIFORM: u8 = bits_of(Class::Letter);
    const UNIFORM_LEADS: &'static ByteSets<2> = &LETTER_LEADS;
    const BASIC_PLANE: &'static BasicPlane<COUNT> = &BASIC_PLANE;
    const WIDE: usize = 2;

    #[inline(always)]
    fn beyond_basic_plane(code_point: usize) -> u8 {
        let row = ROW_OF.get(code_point / unicode_tables::BLOCK);
        let row = row.map_or(0, |row| usize::from(*row));
        bits_of(CLASSES[row][code_point % unicode_tables::BLOCK])
    }
}

/// Cuts `text` into pretokens and hands over their ends, a batch at a time: `take(start, ends)`,
/// where the first pretoken of the batch begins at byte `start`, and each of the others where the
/// one before ends. A batch is empty where a megabyte holds no end.
///
/// # Errors
///
/// The first error of `take`, after which it is not called again.
pub(crate) fn gpt2_ends<E>(
    text: &str,
    take: &mut impl FnMut(usize, &[usize]) -> Result<(), E>,
) -> Result<(), E> {
    gpt2_ends_with(Simd::detect(), text, take)
}

/// [`gpt2_ends`] with a kind of instructions of one's choice.
pub(crate) fn gpt2_ends_with<E>(
    simd: Simd,
    text: &str,
    take: &mut impl FnMut(usize, &[usize]) -> Result<(), E>,
) -> Result<(), E> {
    simd.run(Cut { text, take })
}

/// `take` is called at least once in so many bytes, if only to look whether it should end: a
/// pretoken may be gigabytes long.
const REGION: usize = 1 << 20;

struct Cut<'a, F> {
    text: &'a str,
    take: &'a mut F,
}

impl<E, F: FnMut(usize, &[usize]) -> Result<(), E>> Scan for Cut<'_, F> {
    type Output = Result<(), E>;

    #[inline(always)]
    fn scan(self, kernel: impl Kernel) -> Result<(), E> {
        let bytes = self.text.as_bytes();
        let mut padded = [0; size_of::<Window>()];
        let mut ends = Ends::new(self.take);
        let mut cutter = Cutter::default();
        // One block more than there is text completes the last one.
        let stop = bytes.len() + BLOCK;
        for from in (0..stop).step_by(REGION) {
            if from > 0 {
                ends.flush()?;
            }
            for at in (from..stop.min(from + REGION)).step_by(BLOCK) {
                let window = window_at(bytes, at, b'\n', &mut padded);
                let masks = classify::<Gpt2, COUNT>(kernel, window, &cutter.last);
                let begun = cutter.complete(bytes, at, &masks);
                if let Some(base) = at.checked_sub(BLOCK) {
                    ends.push_mask(kernel, base, begun & inner(base, bytes.len()))?;
                }
            }
        }
        if !bytes.is_empty() {
            ends.push(bytes.len())?;
        }
        ends.finish()
    }
}

/// The places from `base` on that are inside a text of `length` bytes, and not its beginning.
#[inline(always)]
fn inner(base: usize, length: usize) -> u64 {
    let first = u64::from(base == 0);
    let beyond = match length - base {
        left if left < BLOCK => u64::MAX << left,
        _ => 0,
    };
    !(first | beyond)
}

/// What the blocks so far say about the block that comes, and what it may still say about the last.
struct Cutter {
    /// Classes of the last byte.
    last: [u64; COUNT],
    continuation: u64,
    /// Where pretokens begin in the last block, as far as known.
    begun: u64,
    contractions: Contractions,
}

impl Default for Cutter {
    /// After a line break.
    fn default() -> Self {
        let mut last = [0; COUNT];
        last[LETTER_OR_WHITE] = 1;
        Self {
            last,
            continuation: 0,
            begun: 0,
            contractions: Contractions::default(),
        }
    }
}

impl Cutter {
    /// Takes the `masks` of the block at byte `at`, and completes the boundaries of the one before.
    #[inline(always)]
    fn complete(&mut self, bytes: &[u8], at: usize, masks: &Masks<COUNT>) -> u64 {
        let [wordlike, letter_or_white, _, apostrophe] = masks.classes;
        let white = letter_or_white & !wordlike;
        let before = |class: usize| masks.classes[class] << 1 | self.last[class];
        let (wordlike_before, letter_or_white_before) = (before(WORDLIKE), before(LETTER_OR_WHITE));
        let change = (wordlike ^ wordlike_before) | (letter_or_white ^ letter_or_white_before);
        let mut begun = change & (white | !before(SPACE));
        let after_white = letter_or_white_before & !wordlike_before & !white;
        let last_white = self.starts_before(after_white, masks.continuation);
        begun |= last_white[1];
        // Rare enough for a loop: without any, the whole would be 4 % faster.
        let candidates = begun & apostrophe;
        if candidates != 0 {
            self.contractions.add(bytes, at, candidates);
        }
        begun = self.contractions.edit(begun);
        self.last = masks.last();
        self.continuation = masks.continuation;
        std::mem::replace(&mut self.begun, begun) | last_white[0]
    }

    /// The first bytes of the white-space characters that end before the bytes `after` of a block:
    /// those in the block before, and those in this one.
    #[inline(always)]
    fn starts_before(&self, after: u64, continuation: u64) -> [u64; 2] {
        let back = |mask: u64, places: usize| [mask << (BLOCK - places), mask >> places];
        let second = after & (continuation << 1 | self.continuation >> (BLOCK - 1));
        if second == 0 {
            return back(after, 1);
        }
        // A character of white space has 1 to 3 bytes.
        let third = second & (continuation << 2 | self.continuation >> (BLOCK - 2));
        let (one, two, three) = (
            back(after & !second, 1),
            back(second & !third, 2),
            back(third, 3),
        );
        [0, 1].map(|block: usize| one[block] | two[block] | three[block])
    }
}

/// Boundaries that contractions add and remove, in a block and the one after it.
#[derive(Default)]
struct Contractions {
    added: u128,
    removed: u128,
}

impl Contractions {
    /// Notes the contractions among the `apostrophes` that begin a pretoken in the block at `base`.
    #[inline(always)]
    fn add(&mut self, bytes: &[u8], base: usize, mut apostrophes: u64) {
        while apostrophes != 0 {
            let at = apostrophes.trailing_zeros() as usize;
            if let Some(length) = contraction_length(bytes.get(base + at..).unwrap_or_default()) {
                self.removed |= 1 << (at + 1);
                self.added |= 1 << (at + length);
            }
            apostrophes &= apostrophes - 1;
        }
    }

    /// The boundaries of a block as contractions change them; the next call is for the next block.
    #[inline(always)]
    fn edit(&mut self, begun: u64) -> u64 {
        let edited = begun & !self.removed as u64 | self.added as u64;
        self.removed >>= BLOCK;
        self.added >>= BLOCK;
        edited
    }
}
