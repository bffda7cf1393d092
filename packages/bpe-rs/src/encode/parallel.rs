//! Many texts, or large ones, on several threads.
//!
//! A large text is cut at special tokens, and where the pattern would cut whatever stood there: so
//! the ids are those of one thread. Threads live as long as the call, and nothing outlives it: a
//! process may be forked between two calls.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{BpeEncoder, SpecialIds, TokenCache, ids_of};
use crate::error::PatternError;
use crate::special::Segment;
use crate::table::advise_huge_pages;

/// Enough work for a thread to be worth waking, and little enough for all to end together.
const PIECE_BYTES: usize = 256 << 10;

/// A part of one text.
#[derive(Clone, Copy)]
enum Piece<'a> {
    Plain(&'a str),
    Special(u32),
    EndOfText,
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
        let bytes: usize = texts.iter().map(|text| text.len()).sum();
        let num_threads = num_threads.min(bytes / PIECE_BYTES);
        if num_threads > 1 {
            self.encode_on(num_threads, texts, special)
        } else {
            self.encode_here(texts, special)
        }
    }

    pub(super) fn encode_here(
        &self,
        texts: &[&str],
        special: &SpecialIds,
    ) -> Result<(Vec<u32>, Vec<usize>), PatternError> {
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

    pub(super) fn encode_on(
        &self,
        num_threads: usize,
        texts: &[&str],
        special: &SpecialIds,
    ) -> Result<(Vec<u32>, Vec<usize>), PatternError> {
        let jobs = jobs(self.pieces(texts, special));
        let next = AtomicUsize::new(0);
        let work = || self.with_cache(|cache| self.work(&jobs, &next, cache));
        let done = thread::scope(|scope| {
            let others: Vec<_> = (1..num_threads).map(|_| scope.spawn(work)).collect();
            let mut done = vec![work()];
            done.extend(others.into_iter().map(|other| match other.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            }));
            done
        });
        Ok(gather(&done.into_iter().collect::<Result<Vec<_>, _>>()?))
    }

    /// Does jobs until there are none.
    fn work(
        &self,
        jobs: &[Vec<Piece<'_>>],
        next: &AtomicUsize,
        cache: &mut TokenCache,
    ) -> Result<Share, PatternError> {
        // One allocation for all jobs: the system would give and take one for each.
        let mut share = Share {
            token_ids: ids_of(jobs.len() * PIECE_BYTES / 2),
            done: Vec::new(),
        };
        loop {
            let job = next.fetch_add(1, Ordering::Relaxed);
            let Some(pieces) = jobs.get(job) else {
                return Ok(share);
            };
            let (first, mut ends) = (share.token_ids.len(), Vec::new());
            for piece in pieces {
                match *piece {
                    Piece::Plain(text) => {
                        self.encode_plain(text, cache, &mut share.token_ids, |_, _| ())?;
                    }
                    Piece::Special(token_id) => share.token_ids.push(token_id),
                    Piece::EndOfText => ends.push(share.token_ids.len() - first),
                }
            }
            let token_ids = first..share.token_ids.len();
            share.done.push(Done {
                job,
                token_ids,
                ends,
            });
        }
    }

    fn pieces<'a>(
        &'a self,
        texts: &'a [&'a str],
        special: &'a SpecialIds,
    ) -> impl Iterator<Item = Piece<'a>> {
        texts.iter().flat_map(move |text| {
            let segments = special.finder.split(text);
            let pieces = segments.flat_map(move |segment| -> Box<dyn Iterator<Item = Piece<'a>>> {
                match segment {
                    Segment::Special(index) => {
                        Box::new([Piece::Special(special.ids[index])].into_iter())
                    }
                    Segment::Text(text) => Box::new(self.cut(text).map(Piece::Plain)),
                }
            });
            pieces.chain([Piece::EndOfText])
        })
    }

    /// Cuts a text into parts of about [`PIECE_BYTES`], or longer where the pattern has no cut.
    fn cut<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let mut rest = text;
        std::iter::from_fn(move || {
            let is_cut = |&at: &usize| self.pattern.is_cut(rest, at);
            let end = (PIECE_BYTES..rest.len()).find(is_cut);
            let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
            rest = after;
            (!piece.is_empty()).then_some(piece)
        })
    }
}

/// What a thread has done.
struct Share {
    token_ids: Vec<u32>,
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
        bytes += 16;
        if let Piece::Plain(text) = piece {
            bytes += text.len();
        }
        if bytes >= PIECE_BYTES {
            jobs.push(std::mem::take(&mut job));
            bytes = 0;
        }
    }
    jobs.push(job);
    jobs
}

/// The ids of all jobs in their order, and the ends of texts.
fn gather(shares: &[Share]) -> (Vec<u32>, Vec<usize>) {
    let total = shares.iter().map(|share| share.token_ids.len()).sum();
    let (mut token_ids, mut ends) = (Vec::with_capacity(total), Vec::new());
    advise_huge_pages(&mut token_ids);
    let all = shares.iter();
    let mut jobs: Vec<(&Share, &Done)> = all
        .flat_map(|share| share.done.iter().map(move |done| (share, done)))
        .collect();
    jobs.sort_unstable_by_key(|(_, done)| done.job);
    for (share, done) in jobs {
        ends.extend(done.ends.iter().map(|end| token_ids.len() + end));
        token_ids.extend_from_slice(&share.token_ids[done.token_ids.clone()]);
    }
    (token_ids, ends)
}
