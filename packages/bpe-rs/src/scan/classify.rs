//! 64 bytes of text to bit masks, one for each class of characters: bit `i` of a mask is set if
//! byte `i` belongs to a character of that class.
//!
//! The ASCII bytes of a block are looked up all at once ([`Kernel`]). If there are others, each of
//! their characters is decoded, looked up in the Unicode tables, and sets a bit at its first byte;
//! then all masks spread at once from first bytes over continuation bytes.

use super::kernel::{BLOCK, ByteSets, Kernel};

/// Bytes of a character after its first.
const MAX_CONTINUATION: usize = 3;

/// A block, and the bytes after it that its last character may have.
pub(super) type Window = [u8; BLOCK + MAX_CONTINUATION];

/// The window at byte `at`; beyond the end of `text` it is filled with `padding`, in `padded`.
#[inline(always)]
pub(super) fn window_at<'a>(
    text: &'a [u8],
    at: usize,
    padding: u8,
    padded: &'a mut Window,
) -> &'a Window {
    let rest = text.get(at..).unwrap_or_default();
    if let Some(window) = rest.first_chunk() {
        return window;
    }
    padded.fill(padding);
    padded[..rest.len()].copy_from_slice(rest);
    padded
}

/// `N` classes of characters, that may overlap, each with its place in a [`Masks`].
pub(super) trait Classes<const N: usize> {
    /// The classes of the ASCII characters.
    const ASCII: &'static ByteSets<N>;

    /// The classes, as bits, of all characters whose first byte is in `UNIFORM_LEADS`.
    const UNIFORM: u8;

    /// First bytes of characters that need no look-up, where the processor finds many at once.
    const UNIFORM_LEADS: &'static ByteSets<2>;

    /// The classes of the characters of two and three bytes.
    const BASIC_PLANE: &'static BasicPlane<N>;

    /// The classes, as bits, of a character of four bytes.
    fn beyond_basic_plane(code_point: usize) -> u8;

    /// How many of the classes, the first ones, hold characters that are not ASCII.
    const WIDE: usize;
}

/// What a block of text consists of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Masks<const N: usize> {
    /// A mask for each class.
    pub(super) classes: [u64; N],
    /// The bytes that begin no character.
    pub(super) continuation: u64,
}

impl<const N: usize> Masks<N> {
    /// Bit 0 of each: whether the last byte is of the class.
    #[inline(always)]
    pub(super) fn last(&self) -> [u64; N] {
        self.classes.map(|mask| mask >> (BLOCK - 1))
    }
}

/// The classes of the characters below U+10000, which have up to three bytes: bit `c % 64` of entry
/// `n` of row `c / 64` says whether character `c` is in class `n`.
pub(super) struct BasicPlane<const N: usize>([[u64; N]; 0x10000 / 64]);

impl<const N: usize> BasicPlane<N> {
    /// From tables such as those of `unicode_tables.rs`, with the classes as bits.
    pub(super) const fn new<const ROWS: usize>(row_of: &[u8], members: &[[u8; 128]; ROWS]) -> Self {
        let mut rows = [[[0; N]; 2]; ROWS];
        let mut at = 0;
        while at < 128 * ROWS {
            let mut class = 0;
            while class < N {
                let bit = (members[at / 128][at % 128] >> class & 1) as u64;
                rows[at / 128][at / 64 % 2][class] |= bit << (at % 64);
                class += 1;
            }
            at += 1;
        }
        let mut plane = [[0; N]; 0x10000 / 64];
        let mut at = 0;
        while at < plane.len() {
            plane[at] = rows[row_of[at / 2] as usize][at % 2];
            at += 1;
        }
        Self(plane)
    }
}

/// Set 0: continuation bytes, set 1: `uniform`; both with bit 7 flipped.
pub(super) const fn lead_sets(uniform: &[u8]) -> ByteSets<2> {
    let mut members = [0; 128];
    let mut byte = 0x80;
    while byte < 0xC0 {
        members[byte ^ 0x80] = 1;
        byte += 1;
    }
    let mut index = 0;
    while index < uniform.len() {
        members[(uniform[index] ^ 0x80) as usize] = 2;
        index += 1;
    }
    ByteSets::new(&members)
}

/// The masks of the block that `window` begins with; `before` are the bits of the byte before it.
#[inline(always)]
pub(super) fn classify<C: Classes<N>, const N: usize>(
    kernel: impl Kernel,
    window: &Window,
    before: &[u64; N],
) -> Masks<N> {
    let block = block_of(window);
    let mut masks = Masks {
        classes: kernel.sets(block, 0, C::ASCII),
        continuation: 0,
    };
    let high = kernel.high(block);
    if high != 0 {
        add_non_ascii::<C, N>(kernel, window, high, before, &mut masks);
    }
    masks
}

#[inline(always)]
fn block_of(window: &Window) -> &[u8; BLOCK] {
    let (blocks, _) = window.as_chunks();
    &blocks[0]
}

/// Adds the non-ASCII characters, whose bytes are `high`, to the `masks` of a window's block.
#[inline(always)]
fn add_non_ascii<C: Classes<N>, const N: usize>(
    kernel: impl Kernel,
    window: &Window,
    high: u64,
    before: &[u64; N],
    masks: &mut Masks<N>,
) {
    let [continuation, uniform] = kernel.sets(block_of(window), 0x80, C::UNIFORM_LEADS);
    masks.continuation = continuation;
    for (class, mask) in masks.classes.iter_mut().enumerate() {
        if C::UNIFORM >> class & 1 == 1 {
            *mask |= uniform;
        }
    }
    let mut leads = high & !continuation & !uniform;
    while leads != 0 {
        let at = leads.trailing_zeros() as usize;
        let classes = classes_at::<C, N>(window, at);
        for (mask, class) in masks.classes.iter_mut().zip(classes).take(C::WIDE) {
            *mask |= class << at;
        }
        leads &= leads - 1;
    }
    for (mask, before) in masks.classes.iter_mut().zip(before).take(C::WIDE) {
        *mask = spread(*mask, *before, continuation);
    }
}

/// Adds to `mask` the continuation bytes of the characters that begin in it or whose beginning
/// is the one `before`.
///
/// Adding the first byte of a run of continuation bytes to all of them clears the run by carrying,
/// and leaves the runs whose first byte is not added.
#[inline(always)]
fn spread(mask: u64, before: u64, continuation: u64) -> u64 {
    let first = (mask << 1 | before) & continuation;
    mask | continuation & !continuation.wrapping_add(first)
}

/// For each class, whether the character, not ASCII, that begins at byte `at` of the block is in it.
#[inline(always)]
fn classes_at<C: Classes<N>, const N: usize>(window: &Window, at: usize) -> [u64; N] {
    let at = at % BLOCK; // says to the compiler that the three bytes after it exist
    let lead = window[at];
    let bits = |ahead: usize| usize::from(window[at + ahead] % 64);
    let (row, last) = if lead < 0xE0 {
        (usize::from(lead % 32), bits(1))
    } else if lead < 0xF0 {
        (usize::from(lead % 16) << 6 | bits(1), bits(2))
    } else {
        let code_point = usize::from(lead % 8) << 18 | bits(1) << 12 | bits(2) << 6 | bits(3);
        let classes = C::beyond_basic_plane(code_point);
        return std::array::from_fn(|class| u64::from(classes >> class & 1));
    };
    C::BASIC_PLANE.0[row].map(|members| members >> last & 1)
}
