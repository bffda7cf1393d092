//! Where a block may end: at places where cutting a text in two changes none of its pretokens.

use std::ops::Range;

use memchr::memchr;

use crate::special::SpecialTokens;

/// So many bytes on either side of a cut of the pattern decide that it is one.
pub(crate) const PATTERN_CONTEXT: usize = 16;

/// The cuts of plain text: the pattern's, and the ends of special tokens.
///
/// What is asked about is always a piece of a text, from somewhere in it to somewhere in it.
#[derive(Clone, Copy)]
pub(crate) struct TextCuts<'a> {
    /// Whether the pattern cuts at byte `at`, a character's first, whatever precedes and follows
    /// the piece: by no more than [`PATTERN_CONTEXT`] bytes before and behind.
    pub(crate) is_cut: &'a (dyn Fn(&str, usize) -> bool + Sync),
    /// No pretoken crosses one of these.
    pub(crate) special: &'a SpecialTokens,
}

/// The cuts of a file.
#[derive(Clone, Copy)]
pub(super) enum Cuts<'a> {
    Text(TextCuts<'a>),
    /// Behind the ends of lines, none of which is longer than this.
    Lines(usize),
}

impl Cuts<'_> {
    /// So many bytes on either side decide about a place.
    pub(super) fn margin(self) -> usize {
        match self {
            // A special token before the cut, another one that may overlap it, a character cut up.
            Self::Text(cuts) => PATTERN_CONTEXT + 2 * cuts.special.max_length() + 4,
            Self::Lines(_) => 1,
        }
    }

    /// How long a line may be that was searched for `searched` bytes without its end, if it is
    /// longer than that.
    pub(super) fn exceeded_by(self, searched: u64) -> Option<usize> {
        match self {
            Self::Lines(max_bytes) if searched > max_bytes as u64 => Some(max_bytes),
            _ => None,
        }
    }

    /// The first cut in `places`, the margin around which `bytes` holds as far as the file does.
    ///
    /// Invalid UTF-8 is passed over here: whoever checks the block will come upon it.
    pub(super) fn first(self, bytes: &[u8], places: Range<usize>) -> Option<usize> {
        match self {
            Self::Text(cuts) => cuts.first_in_bytes(bytes, places),
            Self::Lines(_) => {
                let before = places.start.saturating_sub(1)..places.end.saturating_sub(1);
                Some(places.start.max(1) + memchr(b'\n', bytes.get(before)?)?)
            }
        }
    }
}

impl TextCuts<'_> {
    fn first_in_bytes(self, bytes: &[u8], places: Range<usize>) -> Option<usize> {
        let mut start = 0;
        for chunk in bytes.utf8_chunks() {
            let text = chunk.valid();
            let clip = |place: usize| place.saturating_sub(start).min(text.len());
            if let Some(cut) = self.first(text, clip(places.start)..clip(places.end)) {
                return Some(start + cut);
            }
            start += text.len() + chunk.invalid().len();
        }
        None
    }

    /// The first cut in `places`.
    pub(crate) fn first(self, text: &str, places: Range<usize>) -> Option<usize> {
        let is_cut = |at: &usize| text.is_char_boundary(*at) && self.is_pattern_cut(text, *at);
        let cut = places.clone().find(is_cut);
        cut.or_else(|| self.first_special_end(text, places))
    }

    fn is_pattern_cut(self, text: &str, at: usize) -> bool {
        let around = at.saturating_sub(PATTERN_CONTEXT)..at + PATTERN_CONTEXT;
        (self.is_cut)(text, at) && !self.is_special_within(text, around)
    }

    /// An end of a special token that is found in any case: no other one overlaps its start, so the
    /// search comes to it wherever it began.
    fn first_special_end(self, text: &str, places: Range<usize>) -> Option<usize> {
        let mut at = 0;
        while let Some((_, start, end)) = self.special.find(text, at)
            && end < places.end
        {
            if places.start <= end && !self.is_special_within(text, start..start) {
                return Some(end);
            }
            at = end;
        }
        None
    }

    /// Whether some special token stands in `text` that begins before the end of `range` and ends
    /// after its start.
    fn is_special_within(self, text: &str, range: Range<usize>) -> bool {
        let text = text.as_bytes();
        let stands_there = |token: &String| {
            let token = token.as_bytes();
            let first = (range.start + 1).saturating_sub(token.len());
            let mut rests = (first..range.end.min(text.len())).map(|start| &text[start..]);
            rests.any(|rest| rest.starts_with(token))
        };
        self.special.tokens().iter().any(stands_there)
    }
}
