//! Ends of pretokens, collected and handed over many at a time.

use super::kernel::{BLOCK, Kernel};

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

    /// Adds the end of the next pretoken.
    #[inline]
    pub(super) fn push(&mut self, end: usize) -> Result<(), E> {
        if self.count == BATCH {
            self.flush()?;
        }
        self.batch[self.count] = end;
        self.count += 1;
        Ok(())
    }

    /// Hands over what is left.
    pub(super) fn finish(&mut self) -> Result<(), E> {
        if self.count == 0 {
            return Ok(());
        }
        self.flush()
    }

    /// Hands over what there is, be it nothing.
    #[inline(never)]
    pub(super) fn flush(&mut self) -> Result<(), E> {
        let ends = &self.batch[..self.count];
        (self.take)(self.start, ends)?;
        self.start = ends.last().copied().unwrap_or(self.start);
        self.count = 0;
        Ok(())
    }
}

/// Cuts `text` at what `end_of` says is the end of the pretoken that begins at a byte.
#[inline]
pub(crate) fn cut<E>(
    text: &str,
    end_of: impl Fn(&str, usize) -> usize,
    take: &mut impl FnMut(usize, &[usize]) -> Result<(), E>,
) -> Result<(), E> {
    let (mut ends, mut at) = (Ends::new(take), 0);
    while at < text.len() {
        let end = end_of(text, at);
        debug_assert!(end > at, "a pretoken has a character");
        ends.push(end)?;
        at = end;
    }
    ends.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_continue_each_other_and_hold_every_end() {
        for length in [0, 1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH] {
            let (text, mut seen) = ("x".repeat(length), vec![0]);
            let taken = cut(&text, |_, at| at + 1, &mut |start, ends| {
                assert_eq!(seen.last(), Some(&start));
                assert!((1..=BATCH).contains(&ends.len()));
                seen.extend_from_slice(ends);
                Ok::<(), ()>(())
            });
            assert_eq!(taken, Ok(()));
            assert!(seen.into_iter().eq(0..=length));
        }
    }

    #[test]
    fn the_first_error_ends_it() {
        let mut calls = 0;
        let taken = cut(&"x".repeat(3 * BATCH), |_, at| at + 1, &mut |start, _| {
            calls += 1;
            if start == 0 { Ok(()) } else { Err(start) }
        });
        assert_eq!((taken, calls), (Err(BATCH), 2));
    }
}
