//! The distinct pretokens, laid out so that a merge finds what it needs beside the place it changes.

use std::cmp::Reverse;

use hashbrown::HashMap;

use super::tokens::{SEPARATOR, Symbol};
use crate::error::TrainError;
use crate::watch::Watch;

/// So many places are worked on between two looks at the watch: at most some milliseconds.
pub(super) const BLOCK: usize = 1 << 16;

/// Distinct pretokens with their counts, in any order.
#[derive(Debug, Default)]
pub(crate) struct Words {
    bytes: Vec<u8>,
    words: Vec<Word>,
    classes: Vec<Class>,
    class_of: HashMap<(u64, u8), u32>,
    /// As many as `bytes` and one after each word.
    places: u64,
}

#[derive(Clone, Copy, Debug)]
struct Word {
    length: u32,
    class: u32,
}

/// The pretokens that occur equally often and begin alike. There are few of these: n pretokens have
/// at most sqrt(2 n) different counts, and the great classes are those of small counts.
#[derive(Clone, Copy, Debug)]
struct Class {
    count: u64,
    /// The first byte that is no space: what tells most scripts apart.
    lead: u8,
    places: u32,
}

/// Places `..end`, from where the run before ends, belong to pretokens that occur `count` times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) end: u32,
    pub(super) count: u64,
}

/// All pretokens, one place a byte, with a separator before the first and after each.
///
/// The most frequent come first. So those that are changed most often lie together, and how often
/// a place counts need not be stored for each of them: `runs` tells it for thousands at once.
/// Equally frequent ones are in the order of their leads, since what is merged together should lie
/// together: 7 % of the time of merging sixty languages. (Two bytes of lead gain no more.)
#[derive(Debug)]
pub(super) struct Layout {
    /// A token stands at the places of its first and its last byte: its neighbours on both sides
    /// are found without links.
    pub(super) symbols: Vec<Symbol>,
    /// The byte at each place.
    pub(super) text: Vec<u8>,
    pub(super) runs: Vec<Run>,
}

impl Words {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds one; the same pretoken given twice counts as the sum of both.
    ///
    /// # Errors
    ///
    /// [`TrainError::TooMany`] if the bytes of all of them, and one more for each, exceed 32 bits.
    pub(crate) fn push(&mut self, pretoken: &[u8], count: u64) -> Result<(), TrainError> {
        if pretoken.len() < 2 || count == 0 {
            return Ok(()); // nothing to merge
        }
        let what = "bytes in distinct pretokens";
        self.places += pretoken.len() as u64 + 1;
        // One more for the separator before the first, and sums of a place and a length must fit.
        if self.places >= u64::from(u32::MAX) - 2 {
            return Err(TrainError::TooMany { what });
        }
        let length = pretoken.len() as u32;
        let lead = pretoken.iter().find(|&&byte| byte != b' ').copied();
        let lead = lead.unwrap_or(b' ');
        let class = *self.class_of.entry((count, lead)).or_insert_with(|| {
            self.classes.push(Class {
                count,
                lead,
                places: 0,
            });
            self.classes.len() as u32 - 1
        });
        self.classes[class as usize].places += length + 1;
        self.bytes.extend_from_slice(pretoken);
        self.words.push(Word { length, class });
        Ok(())
    }

    /// Sorts them by class, by counting: each goes straight to where it belongs.
    pub(super) fn lay_out(self, watch: &Watch) -> Result<Layout, TrainError> {
        let (runs, mut starts) = self.runs();
        let places = self.places as usize + 1;
        // Zeroed by the system, page by page, when first touched.
        let (mut symbols, mut text) = (vec![SEPARATOR; places], vec![0; places]);
        let mut bytes = self.bytes.as_slice();
        for &Word { length, class } in &self.words {
            let (word, rest) = bytes.split_at(length as usize);
            bytes = rest;
            let start = &mut starts[class as usize];
            for part in word.chunks(BLOCK) {
                watch.check()?;
                let range = *start..*start + part.len();
                text[range.clone()].copy_from_slice(part);
                for (symbol, &byte) in symbols[range].iter_mut().zip(part) {
                    *symbol = Symbol::from(byte) + 1;
                }
                *start += part.len();
            }
            *start += 1; // its separator
        }
        Ok(Layout {
            symbols,
            text,
            runs,
        })
    }

    /// The runs of equal counts, the greatest first, and where each class begins.
    fn runs(&self) -> (Vec<Run>, Vec<usize>) {
        let mut order: Vec<usize> = (0..self.classes.len()).collect();
        let by_count =
            |&class: &usize| Reverse((self.classes[class].count, self.classes[class].lead));
        order.sort_unstable_by_key(by_count);
        let mut starts = vec![0; order.len()];
        let mut runs: Vec<Run> = Vec::new();
        let mut end = 1; // the separator before the first
        for class in order {
            let Class { count, places, .. } = self.classes[class];
            starts[class] = end as usize;
            end += places;
            match runs.last_mut() {
                Some(run) if run.count == count => run.end = end,
                _ => runs.push(Run { end, count }),
            }
        }
        (runs, starts)
    }
}

/// Tells how often a place counts, where places come in rising order.
#[derive(Clone, Debug)]
pub(super) struct Counts<'r> {
    runs: &'r [Run],
}

impl<'r> Counts<'r> {
    pub(super) fn new(runs: &'r [Run]) -> Self {
        Self { runs }
    }

    #[inline]
    pub(super) fn at(&mut self, place: u32) -> u64 {
        match self.runs {
            [run, ..] if place < run.end => run.count,
            _ => self.move_to(place),
        }
    }

    fn move_to(&mut self, place: u32) -> u64 {
        self.runs = &self.runs[self.runs.partition_point(|run| run.end <= place)..];
        self.runs.first().map_or(0, |run| run.count)
    }
}
