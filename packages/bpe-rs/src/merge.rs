//! The merge loop: counted pretokens to merges.

use std::rc::Rc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::count::PretokenCounts;
use crate::error::TrainError;
use crate::queue::{Pair, PairQueue};
use crate::watch::{Stage, Watch};

/// Between two words, and before the first and after the last one.
const SEPARATOR: u32 = u32::MAX;
/// At a byte that is neither the first nor the last one of its token.
const INSIDE: u32 = u32::MAX - 1;

/// Learns up to `limit` merges; fewer when no pair is left.
///
/// Ids are those of the 256 bytes, then one for each merge.
pub(crate) fn learn_merges(
    counts: PretokenCounts,
    limit: usize,
    watch: &Watch,
) -> Result<Vec<Pair>, TrainError> {
    watch.begin(Stage::Merge, limit as u64);
    let mut learner = Learner::new(counts)?;
    let mut merges = Vec::new();
    while merges.len() < limit
        && let Some(pair) = learner.next_pair()
    {
        watch.check()?;
        learner.merge(pair)?;
        merges.push(pair);
        watch.advance(1);
    }
    Ok(merges)
}

/// A distinct pretoken.
struct Word {
    start: usize,
    count: u64,
}

/// Where the left token of a pair begins (or began: a later merge may have taken it).
#[derive(Clone, Copy)]
struct Occurrence {
    word: u32,
    offset: u32,
}

/// What is known of a pair.
#[derive(Default)]
struct PairUses {
    count: u64,
    /// In the order of the text, which decides how "aaa" is merged: from the left.
    occurrences: Vec<Occurrence>,
}

struct Learner {
    /// All words, one place a byte, with separators around them. A token stands at the places of
    /// its first and its last byte: so its neighbours on both sides are found without links.
    places: Vec<u32>,
    words: Vec<Word>,
    tokens: Vec<Rc<[u8]>>,
    pairs: HashMap<Pair, PairUses>,
    queue: PairQueue,
}

impl Learner {
    fn new(counts: PretokenCounts) -> Result<Self, TrainError> {
        let (places, words) = lay_out(&counts)?;
        drop(counts); // they would double what merging needs
        let tokens: Vec<Rc<[u8]>> = (0..=u8::MAX).map(|byte| Rc::from([byte])).collect();
        let pairs = byte_pairs(&places, &words)?;
        let mut queue = PairQueue::default();
        for (&pair, uses) in &pairs {
            queue.push(pair, uses.count, &tokens);
        }
        Ok(Self {
            places,
            words,
            tokens,
            pairs,
            queue,
        })
    }

    fn next_pair(&mut self) -> Option<Pair> {
        let count_of = |pair| self.pairs.get(&pair).map_or(0, |uses| uses.count);
        self.queue.pop(&self.tokens, count_of)
    }

    fn merge(&mut self, pair: Pair) -> Result<(), TrainError> {
        let merged = u32::try_from(self.tokens.len())
            .ok()
            .filter(|&id| id < INSIDE);
        let merged = merged.ok_or(TrainError::TooMany { what: "tokens" })?;
        let (left, right) = (self.bytes(pair.0), self.bytes(pair.1));
        self.tokens.push([left, right].concat().into());
        let uses = self.pairs.remove(&pair).unwrap_or_default();
        let mut created = Vec::new();
        for occurrence in uses.occurrences {
            self.merge_at(occurrence, pair, merged, &mut created);
        }
        for pair in created {
            let count = self.pairs.get(&pair).map_or(0, |uses| uses.count);
            self.queue.push(pair, count, &self.tokens);
        }
        Ok(())
    }

    fn bytes(&self, token: u32) -> &[u8] {
        &self.tokens[token as usize]
    }

    /// Replaces one occurrence of `pair` and tells its neighbours; notes pairs seen first.
    fn merge_at(
        &mut self,
        occurrence: Occurrence,
        (left, right): Pair,
        merged: u32,
        created: &mut Vec<Pair>,
    ) {
        let Occurrence { word, offset } = occurrence;
        let Word { start, count } = self.words[word as usize];
        let left_at = start + offset as usize;
        let right_at = left_at + self.bytes(left).len();
        if self.places[left_at] != left || self.places[right_at] != right {
            return; // stale: another merge took one of the two
        }
        let end = right_at + self.bytes(right).len();
        let (before, after) = (self.places[left_at - 1], self.places[end]);
        self.places[right_at - 1] = INSIDE;
        self.places[right_at] = INSIDE;
        self.places[left_at] = merged;
        self.places[end - 1] = merged;
        if before != SEPARATOR {
            let offset = offset - self.bytes(before).len() as u32;
            self.remove((before, left), count);
            self.add(
                (before, merged),
                count,
                Occurrence { word, offset },
                created,
            );
        }
        if after != SEPARATOR {
            self.remove((right, after), count);
            self.add((merged, after), count, occurrence, created);
        }
    }

    fn remove(&mut self, pair: Pair, count: u64) {
        // The pair being merged has left the table already: it may be its own neighbour ("aaa").
        if let Entry::Occupied(mut entry) = self.pairs.entry(pair) {
            entry.get_mut().count -= count;
            if entry.get().count == 0 {
                entry.remove();
            }
        }
    }

    fn add(&mut self, pair: Pair, count: u64, at: Occurrence, created: &mut Vec<Pair>) {
        let uses = self.pairs.entry(pair).or_insert_with(|| {
            created.push(pair);
            PairUses::default()
        });
        // No overflow: the merged token occurs no more often than its pair did.
        uses.count += count;
        uses.occurrences.push(at);
    }
}

/// Writes the words out with separators around them.
fn lay_out(counts: &PretokenCounts) -> Result<(Vec<u32>, Vec<Word>), TrainError> {
    let mut places = vec![SEPARATOR];
    let mut words = Vec::new();
    for (pretoken, count) in counts.iter().filter(|(pretoken, _)| pretoken.len() > 1) {
        if u32::try_from(pretoken.len()).is_err() {
            return Err(TrainError::TooMany {
                what: "bytes in one pretoken",
            });
        }
        words.push(Word {
            start: places.len(),
            count,
        });
        places.extend(pretoken.iter().map(|&byte| u32::from(byte)));
        places.push(SEPARATOR);
    }
    match u32::try_from(words.len()) {
        Ok(_) => Ok((places, words)),
        Err(_) => Err(TrainError::TooMany {
            what: "distinct pretokens",
        }),
    }
}

/// The pairs of bytes that the words start with.
fn byte_pairs(places: &[u32], words: &[Word]) -> Result<HashMap<Pair, PairUses>, TrainError> {
    let mut pairs: HashMap<Pair, PairUses> = HashMap::new();
    for (word, &Word { start, count }) in (0..).zip(words) {
        for (offset, pair) in (0..).zip(places[start..].windows(2)) {
            let (left, right) = (pair[0], pair[1]);
            if right == SEPARATOR {
                break;
            }
            let uses = pairs.entry((left, right)).or_default();
            uses.count = uses
                .count
                .checked_add(count)
                .ok_or(TrainError::CountOverflow)?;
            uses.occurrences.push(Occurrence { word, offset });
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_beyond_64_bits_are_an_error() {
        let mut counts = PretokenCounts::default();
        counts.add(b"aab", u64::MAX).unwrap();
        assert!(matches!(
            counts.add(b"aab", 1),
            Err(TrainError::CountOverflow)
        ));
        counts.add(b"ab", 1).unwrap();
        let learned = learn_merges(counts, 9, &Watch::default());
        assert!(matches!(learned, Err(TrainError::CountOverflow)));
    }

    #[test]
    fn counts_beyond_32_bits_are_right() {
        let mut counts = PretokenCounts::default();
        counts.add(b"xyz", u64::from(u32::MAX) * 3).unwrap();
        counts.add(b"ab", u64::from(u32::MAX) * 3 + 1).unwrap();
        let merges = learn_merges(counts, 9, &Watch::default()).unwrap();
        let pair = |left: u8, right: u8| (u32::from(left), u32::from(right));
        assert_eq!(
            merges,
            [pair(b'a', b'b'), pair(b'y', b'z'), (u32::from(b'x'), 257)]
        );
    }
}
