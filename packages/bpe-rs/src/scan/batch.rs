//! Ends of pretokens, collected and handed over many at a time.

/// Ends handed over at once: the caller's work on them fits the caches beside them.
const BATCH: usize = 512;

/// Collects the ends of pretokens for `take(start, ends)`: the first pretoken of a batch begins at
/// `start`, each other where the one before ends.
pub(crate) struct Batch<'a, F> {
    take: &'a mut F,
    start: usize,
    ends: [usize; BATCH],
    count: usize,
}

impl<'a, E, F: FnMut(usize, &[usize]) -> Result<(), E>> Batch<'a, F> {
    pub(crate) fn new(take: &'a mut F) -> Self {
        Self {
            take,
            start: 0,
            ends: [0; BATCH],
            count: 0,
        }
    }

    /// Adds the end of the next pretoken.
    #[inline]
    pub(crate) fn push(&mut self, end: usize) -> Result<(), E> {
        if self.count == BATCH {
            self.flush()?;
        }
        self.ends[self.count] = end;
        self.count += 1;
        Ok(())
    }

    /// Hands over what is left.
    pub(crate) fn finish(mut self) -> Result<(), E> {
        self.flush()
    }

    fn flush(&mut self) -> Result<(), E> {
        let ends = &self.ends[..self.count];
        let Some(&last) = ends.last() else {
            return Ok(());
        };
        (self.take)(self.start, ends)?;
        (self.start, self.count) = (last, 0);
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
    let (mut batch, mut at) = (Batch::new(take), 0);
    while at < text.len() {
        let end = end_of(text, at);
        debug_assert!(end > at, "a pretoken has a character");
        batch.push(end)?;
        at = end;
    }
    batch.finish()
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
