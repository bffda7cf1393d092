//! Many texts, or large ones, on several threads.
//!
//! A large text is cut at special tokens, and where the pattern would cut whatever stood there: so
//! the ids are those of one thread. Threads live as long as the call, and nothing outlives it: a
//! process may be forked between two calls.

use std::mem;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{BpeEncoder, SpecialIds, TokenCache, TokenId, ids_of};
use crate::error::PatternError;
use crate::input::TextCuts;
use crate::table::advise_huge_pages;

/// Enough work for a thread to be worth waking, and little enough for all to end together.
const PIECE_BYTES: usize = 256 << 10;

/// A part of one text, or a whole short one.
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    is_last: bool,
}

impl BpeEncoder {
    /// The ids of many texts, one after the other, and where each text's end.
    ///
    /// # Errors
    ///
    /// As of [`BpeEncoder::encode`].
    pub fn encode_batch(
        &self,
        texts: &[&str],
        special: &SpecialIds,
        num_threads: usize,
    ) -> Result<(Vec<u32>, Vec<usize>), PatternError> {
        self.encode_texts(texts, special, num_threads)
    }

    /// The same in any type that holds all ids.
    pub(crate) fn encode_texts<T: TokenId>(
        &self,
        texts: &[&str],
        special: &SpecialIds,
        num_threads: usize,
    ) -> Result<(Vec<T>, Vec<usize>), PatternError> {
        let bytes: usize = texts.iter().map(|text| text.len()).sum();
        let num_threads = num_threads.min(bytes / PIECE_BYTES);
        if num_threads > 1 {
            self.encode_on(num_threads, texts, special)
        } else {
            self.encode_here(texts, special)
        }
    }

    pub(super) fn encode_here<T: TokenId>(
        &self,
        texts: &[&str],
        special: &SpecialIds,
    ) -> Result<(Vec<T>, Vec<usize>), PatternError> {
        let bytes = texts.iter().map(|text| text.len()).sum();
        let (mut token_ids, mut ends) = (ids_of(bytes), Vec::with_capacity(texts.len()));
        self.with_cache(|cache| {
            texts.iter().try_for_each(|text| {
                self.encode_into(text, special, cache, &mut token_ids)?;
                ends.push(token_ids.len());
                Ok(())
            })
        })?;
        token_ids.shrink_to_fit();
        Ok((token_ids, ends))
    }

    pub(super) fn encode_on<T: TokenId>(
        &self,
        num_threads: usize,
        texts: &[&str],
        special: &SpecialIds,
    ) -> Result<(Vec<T>, Vec<usize>), PatternError> {
        let jobs = jobs(self.pieces(texts, special));
        let turns = Turns::new(jobs.len(), num_threads);
        let workers = self.take_caches(num_threads).into_iter().enumerate();
        let (done, caches): (Vec<_>, Vec<_>) = on_threads(workers, |(worker, mut cache)| {
            let turns = turns.of(worker);
            (self.work(&jobs, turns, special, &mut cache), cache)
        })
        .into_iter()
        .unzip();
        self.lock_caches().extend(caches.into_iter().rev());
        Ok(gather(&done.into_iter().collect::<Result<Vec<_>, _>>()?))
    }

    /// A cache for each of several threads. Returned in reverse, the next call gives each thread
    /// its own again, and with it what it learned of its part of a text.
    fn take_caches(&self, num_threads: usize) -> Vec<TokenCache> {
        let mut known = self.lock_caches();
        let new = || TokenCache::new(self.cache_bytes);
        (0..num_threads)
            .map(|_| known.pop().unwrap_or_else(new))
            .collect()
    }

    /// Does some of the jobs.
    fn work<T: TokenId>(
        &self,
        jobs: &[Vec<Piece<'_>>],
        turns: impl Iterator<Item = usize>,
        special: &SpecialIds,
        cache: &mut TokenCache,
    ) -> Result<Share<T>, PatternError> {
        // One allocation for all jobs: the system would give and take one for each.
        let mut token_ids = ids_of(jobs.len() * PIECE_BYTES);
        let mut done = Vec::new();
        for job in turns {
            let (first, mut ends) = (token_ids.len(), Vec::new());
            for piece in &jobs[job] {
                self.encode_into(piece.text, special, cache, &mut token_ids)?;
                if piece.is_last {
                    ends.push(token_ids.len() - first);
                }
            }
            let token_ids = first..token_ids.len();
            done.push(Done {
                job,
                token_ids,
                ends,
            });
        }
        Ok(Share { token_ids, done })
    }

    fn pieces<'a>(
        &'a self,
        texts: &'a [&'a str],
        special: &'a SpecialIds,
    ) -> impl Iterator<Item = Piece<'a>> {
        texts.iter().flat_map(move |text| {
            let mut rest = Some(*text);
            std::iter::from_fn(move || {
                let (piece, after) = self.cut(rest?, special);
                rest = after;
                Some(Piece {
                    text: piece,
                    is_last: after.is_none(),
                })
            })
        })
    }

    /// Cuts off a part of about [`PIECE_BYTES`], or a longer one where nothing may be cut.
    fn cut<'a>(&self, text: &'a str, special: &SpecialIds) -> (&'a str, Option<&'a str>) {
        let cuts = TextCuts {
            is_cut: &|text, at| self.pattern.is_cut(text, at),
            special: &special.finder,
        };
        let mut places = PIECE_BYTES..2 * PIECE_BYTES;
        while places.start < text.len() {
            if let Some(cut) = cuts.first(text, places.start..places.end.min(text.len())) {
                return (&text[..cut], Some(&text[cut..]));
            }
            places = places.end..2 * places.end;
        }
        (text, None)
    }
}

/// Which thread does which job: each its share, a part of the text in one piece, then what is left
/// of the others'. Encoding the same text again, it meets the pretokens that its cache knows.
struct Turns(Vec<(AtomicUsize, usize)>);

impl Turns {
    fn new(jobs: usize, num_threads: usize) -> Self {
        let first = |thread: usize| jobs * thread / num_threads;
        let share = |thread| (AtomicUsize::new(first(thread)), first(thread + 1));
        Self((0..num_threads).map(share).collect())
    }

    /// The jobs that come to a thread.
    fn of(&self, thread: usize) -> impl Iterator<Item = usize> {
        let (before, own) = self.0.split_at(thread);
        own.iter().chain(before).flat_map(|(next, end)| {
            std::iter::from_fn(move || {
                let job = next.fetch_add(1, Ordering::Relaxed);
                (job < *end).then_some(job)
            })
        })
    }
}

/// Calls `work` with each item on a thread of its own, the first on this one.
fn on_threads<I: Send, O: Send>(
    items: impl IntoIterator<Item = I>,
    work: impl Fn(I) -> O + Sync,
) -> Vec<O> {
    let (mut items, work) = (items.into_iter(), &work);
    let first = items.next();
    thread::scope(|scope| {
        let others: Vec<_> = items.map(|item| scope.spawn(move || work(item))).collect();
        let mut done: Vec<O> = first.map(work).into_iter().collect();
        done.extend(others.into_iter().map(|other| match other.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }));
        done
    })
}

/// What a thread has done.
struct Share<T> {
    token_ids: Vec<T>,
    done: Vec<Done>,
}

/// One job of a thread.
struct Done {
    job: usize,
    /// Of the thread's ids, those of the job.
    token_ids: Range<usize>,
    /// Of texts, in these.
    ends: Vec<usize>,
}

/// Pieces that follow each other, about [`PIECE_BYTES`] together.
fn jobs<'a>(pieces: impl Iterator<Item = Piece<'a>>) -> Vec<Vec<Piece<'a>>> {
    let (mut jobs, mut job, mut bytes) = (Vec::new(), Vec::new(), 0);
    for piece in pieces {
        job.push(piece);
        // So that no job is empty of work: nothing weighs nothing.
        bytes += 16 + piece.text.len();
        if bytes >= PIECE_BYTES {
            jobs.push(mem::take(&mut job));
            bytes = 0;
        }
    }
    jobs.push(job);
    jobs
}

/// The ids of all jobs in their order, and the ends of texts.
fn gather<T: TokenId>(shares: &[Share<T>]) -> (Vec<T>, Vec<usize>) {
    let mut jobs: Vec<(&[T], &Done)> = shares
        .iter()
        .flat_map(|Share { token_ids, done }| {
            let ids = |done: &Done| &token_ids[done.token_ids.clone()];
            done.iter().map(move |done| (ids(done), done))
        })
        .collect();
    jobs.sort_unstable_by_key(|(_, done)| done.job);
    let total = jobs.iter().map(|(ids, _)| ids.len()).sum();
    // Zeros that are nowhere yet: each thread has the system make those that it copies to.
    let mut token_ids = vec![T::default(); total];
    advise_huge_pages(&mut token_ids);
    let (mut copies, mut ends) = (Vec::with_capacity(jobs.len()), Vec::new());
    let mut rest = token_ids.as_mut_slice();
    for (from, done) in jobs {
        let before = total - rest.len();
        ends.extend(done.ends.iter().map(|end| before + end));
        let (to, after) = mem::take(&mut rest).split_at_mut(from.len());
        copies.push((to, from));
        rest = after;
    }
    let a_thread = copies.len().div_ceil(shares.len());
    on_threads(copies.chunks_mut(a_thread), |copies| {
        copies
            .iter_mut()
            .for_each(|(to, from)| to.copy_from_slice(from));
    });
    (token_ids, ends)
}
