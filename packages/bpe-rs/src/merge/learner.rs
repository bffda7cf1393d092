//! One merge after the other.

use std::ops::Range;

use super::gather::{Places, byte_pairs, token_pairs};
use super::neighbours::Neighbours;
use super::pairs::{PairIndex, Pairs};
use super::queue::PairQueue;
use super::tally::{NOWHERE, Tally};
use super::threshold::Threshold;
use super::tokens::{INSIDE, SEPARATOR, Symbol, SymbolPair, Tokens};
use super::words::{BLOCK, Counts, Layout, Run};
use super::{MergeOptions, Pair, Tuning};
use crate::error::TrainError;
use crate::watch::Watch;

/// So many places are looked at before the first of them is changed. The processor then waits for
/// the memory of all of them at once: 14 % of the time of replacing (15 MB of places, Zen 5).
const GROUP: usize = 64;

pub(super) struct Learner<'a> {
    /// What stands at each place of the pretokens.
    symbols: Vec<Symbol>,
    runs: Vec<Run>,
    tokens: Tokens,
    pairs: Pairs,
    queue: PairQueue,
    threshold: Threshold,
    /// Of the merge in hand: the tokens before and after its places.
    before: Neighbours,
    after: Neighbours,
    few: usize,
    watch: &'a Watch,
}

/// The merge in hand.
#[derive(Clone, Copy)]
struct Merge {
    pair: SymbolPair,
    merged: Symbol,
    /// Bytes of the left token, and of both.
    left: u32,
    length: u32,
}

impl<'a> Learner<'a> {
    /// Of the merges to come, the `first` are known.
    pub(super) fn new(
        layout: Layout,
        first: &[Pair],
        options: &MergeOptions,
        tuning: Tuning,
        watch: &'a Watch,
    ) -> Result<Self, TrainError> {
        let mut learner = Self {
            symbols: layout.symbols,
            runs: layout.runs,
            tokens: Tokens::new(layout.text, options.tie_break),
            pairs: Pairs::new(0, 0),
            queue: PairQueue::new(),
            threshold: Threshold::new(options, first, tuning.share),
            before: Neighbours::default(),
            after: Neighbours::default(),
            few: tuning.few,
            watch,
        };
        learner.before.grow(learner.tokens.last());
        learner.after.grow(learner.tokens.last());
        learner.gather(byte_pairs, options.max_merges)?;
        Ok(learner)
    }

    /// Merges a given pair, be it frequent or not.
    pub(super) fn merge(&mut self, (left, right): Pair) -> Result<(), TrainError> {
        let pair = (left + 1, right + 1);
        match self.pairs.find(pair) {
            Some(index) => self.merge_at(index)?,
            None => self.tokens.push_absent().map(|symbol| self.grow(symbol))?,
        }
        self.threshold.has_got(pair);
        Ok(())
    }

    /// Merges the most frequent pair, if any is left, where so many merges are still wanted.
    pub(super) fn merge_next(&mut self, merges: usize) -> Result<Option<Pair>, TrainError> {
        loop {
            let threshold = self.threshold.count;
            let next = self
                .queue
                .pop(threshold, &self.pairs, &self.tokens, self.watch)?;
            if let Some(index) = next {
                let (left, right) = self.pairs.pair(index);
                self.merge_at(index)?;
                return Ok(Some((left - 1, right - 1)));
            }
            if self.threshold.is_lowest() {
                return Ok(None);
            }
            self.gather(token_pairs, merges)?;
        }
    }

    /// Counts all pairs anew, to watch the frequent ones.
    fn gather(
        &mut self,
        pairs: impl Fn(&Places, &mut Threshold, usize) -> Result<Pairs, TrainError>,
        merges: usize,
    ) -> Result<(), TrainError> {
        self.pairs = Pairs::new(0, 0); // the room they take is needed
        let places = Places {
            symbols: &self.symbols,
            runs: &self.runs,
            tokens: &self.tokens,
            watch: self.watch,
            few: self.few,
        };
        self.pairs = pairs(&places, &mut self.threshold, merges)?;
        self.fill_queue()
    }

    fn fill_queue(&mut self) -> Result<(), TrainError> {
        let threshold = self.threshold.count;
        self.queue
            .fill(threshold, &self.pairs, &self.tokens, self.watch)
    }

    fn merge_at(&mut self, index: PairIndex) -> Result<(), TrainError> {
        let pair = self.pairs.pair(index);
        let listed = self.pairs.range(index);
        let left = self.tokens.length(pair.0);
        let length = left + self.tokens.length(pair.1);
        let merged = self
            .tokens
            .push(self.pairs.places()[listed.start], length)?;
        let merge = Merge {
            pair,
            merged,
            left,
            length,
        };
        self.grow(merged);
        *self.pairs.count_mut(index) = 0;
        let live = self.replace(merge, listed)?;
        self.lower_old(pair)?;
        let new = self.add_new(merge)?;
        self.note(merge, live)?;
        self.before.clear();
        self.after.clear();
        for index in new {
            self.queue.push(index, &self.pairs, &self.tokens);
        }
        self.sweep()
    }

    fn grow(&mut self, symbol: Symbol) {
        self.before.grow(symbol);
        self.after.grow(symbol);
    }

    /// Replaces the pair wherever it still stands, and counts what stands beside it. Leaves a list
    /// of these places, where the list of all was.
    fn replace(&mut self, merge: Merge, listed: Range<usize>) -> Result<Range<usize>, TrainError> {
        let mut counts = Counts::new(&self.runs);
        let places = &mut self.pairs.places_mut()[listed.clone()];
        let (mut num_live, mut free_from) = (0, 0);
        let mut live = [0; GROUP];
        for from in (0..places.len()).step_by(GROUP) {
            self.watch.check()?;
            let group = &places[from..places.len().min(from + GROUP)];
            let len = find_live(&self.symbols, merge, group, &mut free_from, &mut live);
            let live = &live[..len];
            for &place in live {
                let (before, after) = replace_at(&mut self.symbols, merge, place);
                let count = counts.at(place);
                self.before.add(before, count);
                self.after.add(after, count);
            }
            places[num_live..num_live + len].copy_from_slice(live);
            num_live += len;
        }
        Ok(listed.start..listed.start + num_live)
    }

    /// The pairs that the merged ones formed with their neighbours have become rarer.
    fn lower_old(&mut self, (left, right): SymbolPair) -> Result<(), TrainError> {
        let before = self.before.met().iter().map(|&before| (before, left));
        let after = self.after.met().iter().map(|&after| (right, after));
        self.pairs.warm(before.chain(after));
        for nth in self.before.numbers() {
            let (before, neighbour) = self.before.nth(nth);
            self.lower((before, left), neighbour.count);
        }
        for nth in self.after.numbers() {
            let (after, neighbour) = self.after.nth(nth);
            self.lower((right, after), neighbour.count);
        }
        self.watch.check()
    }

    #[inline]
    fn lower(&mut self, pair: SymbolPair, by: u64) {
        if let Some(index) = self.pairs.find(pair) {
            let count = self.pairs.count_mut(index);
            // Below the threshold nobody asks. That is where the pair in hand is too, which may be
            // its own neighbour ("aaa").
            if *count >= self.threshold.count {
                *count -= by;
            }
        }
    }

    /// Watches the pairs that the merged token forms with its neighbours, if they are frequent.
    fn add_new(&mut self, merge: Merge) -> Result<Range<PairIndex>, TrainError> {
        let Merge {
            pair: (left, _),
            merged,
            ..
        } = merge;
        // Where a merged token stands before another one, what was seen after the first was the
        // left token of the pair that became the second.
        let twins = *self.before.of(merged);
        let after = self.after.of(left);
        after.count -= twins.count;
        after.places -= twins.places;
        let first = self.pairs.indices().end;
        for nth in self.before.numbers() {
            let (before, Tally { count, places }) = self.before.nth(nth);
            self.before.of(before).places = self.add((before, merged), count, places)?;
        }
        for nth in self.after.numbers() {
            let (after, Tally { count, places }) = self.after.nth(nth);
            self.after.of(after).places = self.add((merged, after), count, places)?;
        }
        Ok(first..self.pairs.indices().end)
    }

    /// Tells where the places of the pair are to be noted.
    #[inline]
    fn add(&mut self, pair: SymbolPair, count: u64, places: usize) -> Result<usize, TrainError> {
        let bytes = self.tokens.length(pair.0) + self.tokens.length(pair.1);
        let is_pair = pair.0 != SEPARATOR && pair.1 != SEPARATOR && places > 0;
        self.watch.check()?;
        if is_pair && self.threshold.admits(pair, count, bytes) {
            return self.pairs.add(pair, count, places, self.watch);
        }
        Ok(NOWHERE)
    }

    /// Notes the places of the new pairs, in the order of the text.
    fn note(&mut self, merge: Merge, live: Range<usize>) -> Result<(), TrainError> {
        // Of two merged tokens side by side, the second notes the pair.
        self.after.of(merge.merged).places = NOWHERE;
        for from in live.clone().step_by(BLOCK) {
            self.watch.check()?;
            for at in from..live.end.min(from + BLOCK) {
                self.note_at(merge, at);
            }
        }
        self.after.of(merge.merged).places = 0;
        Ok(())
    }

    #[inline]
    fn note_at(&mut self, merge: Merge, at: usize) {
        let places = self.pairs.places_mut();
        let place = places[at];
        let before = self.symbols[place as usize - 1];
        let next = &mut self.before.of(before).places;
        if *next != NOWHERE {
            places[*next] = place - self.tokens.length(before);
            *next += 1;
        }
        let after = self.symbols[(place + merge.length) as usize];
        let next = &mut self.after.of(after).places;
        if *next != NOWHERE {
            places[*next] = place;
            *next += 1;
        }
    }

    /// Gives back the room of pairs that are merged or too rare, when that is worth the while.
    fn sweep(&mut self) -> Result<(), TrainError> {
        if !self.pairs.should_sweep() {
            return Ok(());
        }
        let threshold = &self.threshold;
        let is_worth = |pair, count| count >= threshold.count || threshold.wants(pair);
        self.pairs.sweep(is_worth, self.watch)?;
        self.fill_queue()
    }
}

/// Puts those places of a group where the pair still stands at the start of `live`; says how many.
/// None begins before `free_from`, so that "aaa" is merged from the left.
#[inline]
fn find_live(
    symbols: &[Symbol],
    merge: Merge,
    group: &[u32],
    free_from: &mut u32,
    live: &mut [u32; GROUP],
) -> usize {
    let Merge {
        pair, left, length, ..
    } = merge;
    // All comparisons first, without a branch: one that waits for memory stops everything.
    let mut stands = [false; GROUP];
    for (stands, &place) in stands.iter_mut().zip(group) {
        let [first, second] = [place, place + left].map(|place| symbols[place as usize]);
        *stands = (first == pair.0) & (second == pair.1);
    }
    let mut len = 0;
    for (&stands, &place) in stands.iter().zip(group) {
        if stands && place >= *free_from {
            live[len] = place;
            len += 1;
            *free_from = place + length;
        }
    }
    len
}

/// Replaces the pair at one place; gives the tokens beside it.
#[inline]
fn replace_at(symbols: &mut [Symbol], merge: Merge, place: u32) -> (Symbol, Symbol) {
    let end = (place + merge.length) as usize;
    let place = place as usize;
    let beside = (symbols[place - 1], symbols[end]);
    symbols[place + merge.left as usize] = INSIDE;
    symbols[place] = merge.merged;
    symbols[end - 1] = merge.merged;
    beside
}
