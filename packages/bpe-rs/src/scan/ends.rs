//! Ends of pretokens, from bit masks to batches.

use super::kernel::{BLOCK, Kernel};
use super::kernel_portable::Portable;

/// Ends handed over at once, at most. From 256 to 2048 long texts are cut as fast, but 12 bytes in 80,
/// 95, 125, 195 ns: the array is cleared for each text.
const BATCH: usize = 512;

/// Hands over the ends of pretokens to `take`, a batch at a time, with the start of its first.
pub(super) struct Ends<'t, F> {
    batch: [usize; BATCH],
    count: usize,
    start: usize,
    take: &'t mut F,
}

impl<'t, E, F: FnMut(usize, &[usize]) -> Result<(), E>> Ends<'t, F> {
    pub(super) fn new(take: &'t mut F) -> Self {
        Self {
            batch: [0; BATCH],
            count: 0,
            start: 0,
            take,
        }
    }

    /// Adds an end `base + i` for each bit `i` of `mask`.
    #[inline(always)]
    pub(super) fn push_mask(
        &mut self,
        kernel: impl Kernel,
        base: usize,
        mask: u64,
    ) -> Result<(), E> {
        if self.count > BATCH - BLOCK {
            self.flush()?;
        }
        let Some(room) = self.batch[self.count..].first_chunk_mut() else {
            unreachable!("a flushed batch has room for a block")
        };
        self.count += mask.count_ones() as usize;
        kernel.places(mask, base, room);
        Ok(())
    }

    /// Adds the end of a text of `length` bytes, and hands over what is left.
    pub(super) fn finish(&mut self, length: usize) -> Result<(), E> {
        if length == 0 {
            return Ok(());
        }
        self.push_mask(Portable, length, 1)?;
        self.flush()
    }

    #[inline(never)]
    fn flush(&mut self) -> Result<(), E> {
        let ends = &self.batch[..self.count];
        (self.take)(self.start, ends)?;
        self.start = ends.last().copied().unwrap_or(self.start);
        self.count = 0;
        Ok(())
    }
}
