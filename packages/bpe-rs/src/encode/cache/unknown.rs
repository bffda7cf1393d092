//! Pretokens of which some are not known yet.
//!
//! One that is new gets its slot at once, and its ids when many have been found: merged side by side, each takes
//! a third of the time. So the ids of this part of the text are put out in a second walk over its slots.

use super::super::long::merge_long;
use super::super::merges::Merges;
use super::super::together::MOST_BYTES;
use super::super::token_id::TokenId;
use super::super::word::SHORT;
use super::ids::{Ids, Known, keep};
use super::{AHEAD, CacheSlot, MAX_PRETOKEN_BYTES, TokenCache};
use crate::table::{Key, Slot, long_key, long_parts};

/// So many pretokens are searched for new ones, which are then merged side by side.
pub(super) const TOGETHER: usize = 256;
/// No slot.
const NOWHERE: u32 = u32::MAX;

/// A pretoken of a text that is in a slot already, but for its ids.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unmerged {
    slot: usize,
    start: usize,
    end: usize,
}

impl TokenCache {
    /// Appends the ids of at most [`TOGETHER`] pretokens, and returns whether any of them was new.
    #[inline(never)]
    pub(super) fn encode_unknown<T: TokenId>(
        &mut self,
        merges: &Merges,
        text: &[u8],
        first: usize,
        ends: &[usize],
        token_ids: &mut Vec<T>,
    ) -> bool {
        self.make_room(ends.len());
        let mut slots = [NOWHERE; TOGETHER];
        let mut ahead = [(0, 0); AHEAD];
        let mut start = first;
        for (ends, slots) in ends.chunks(AHEAD).zip(slots.chunks_mut(AHEAD)) {
            self.look_ahead(text, start, ends, &mut ahead);
            for ((&(key, home), &end), slot) in ahead.iter().zip(ends).zip(slots) {
                *slot = home as u32;
                if self.slots[home].0.key() != key {
                    *slot = self.slot_of(home, key, merges, text, start, end);
                }
                start = end;
            }
        }
        let any_new = self.merge_unmerged(merges, text);
        let mut known = Known::new();
        let mut start = first;
        for (ends, slots) in ends.chunks(AHEAD).zip(slots.chunks(AHEAD)) {
            for (&end, &slot) in ends.iter().zip(slots) {
                if slot == NOWHERE {
                    known.flush(token_ids);
                    self.merge(&text[start..end], merges);
                    token_ids.extend(T::all(&self.merged));
                } else {
                    let ids = &self.slots[slot as usize].0.value;
                    if let Some(count) = ids.inline() {
                        known.push(ids, count);
                    } else {
                        known.flush(token_ids);
                        token_ids.extend(T::all(ids.all(&self.token_ids)));
                    }
                }
                start = end;
            }
            known.flush(token_ids);
        }
        any_new
    }

    /// The slot of a pretoken that is not at home, or is long, or is not known yet: then it gets one.
    /// [`NOWHERE`] if it is too long to be remembered.
    #[inline(never)]
    fn slot_of(
        &mut self,
        home: usize,
        key: Key,
        merges: &Merges,
        text: &[u8],
        start: usize,
        end: usize,
    ) -> u32 {
        let pretoken = &text[start..end];
        if pretoken.len() > MAX_PRETOKEN_BYTES {
            return NOWHERE;
        }
        let slot = self.find(home, key, pretoken);
        if self.slots[slot].0.is_vacant() {
            let key = match long_parts(key) {
                Some((hash, _)) => long_key(hash, self.long.push(pretoken)),
                None => key,
            };
            let mut ids = Ids::default();
            if merges.pair_ranks().is_some() && (1..=MOST_BYTES).contains(&pretoken.len()) {
                self.unmerged.push(Unmerged { slot, start, end });
            } else {
                self.merge(pretoken, merges);
                ids = keep(&mut self.token_ids, &self.merged);
            }
            self.slots[slot] = CacheSlot(Slot::new(key, ids));
            self.len += 1;
        }
        slot as u32
    }

    /// Gives their ids to all slots that have none; returns whether there were such.
    fn merge_unmerged(&mut self, merges: &Merges, text: &[u8]) -> bool {
        let Self {
            slots,
            token_ids,
            many_merger,
            unmerged,
            ..
        } = self;
        let Some(pairs) = merges.pair_ranks() else {
            return false; // then none was put off
        };
        let any = !unmerged.is_empty();
        let pretokens = unmerged.iter().map(|one| &text[one.start..one.end]);
        many_merger.merge(pretokens, merges, pairs, |number, ids| {
            slots[unmerged[number].slot].0.value = keep(token_ids, ids);
        });
        unmerged.clear();
        any
    }

    /// The ids of a pretoken, into `merged`.
    fn merge(&mut self, pretoken: &[u8], merges: &Merges) {
        self.merged.clear();
        if pretoken.len() > SHORT {
            merge_long(pretoken, merges, &mut self.merger, &mut self.merged);
        } else {
            let tokens = self.merger.merge(pretoken, merges);
            self.merged.extend(tokens.map(|(_, token_id)| token_id));
        }
    }
}
