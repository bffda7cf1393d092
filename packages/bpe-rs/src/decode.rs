//! Token ids to the bytes and the text that they stand for.

use std::borrow::Cow;
use std::fmt;

use hashbrown::HashMap;

use crate::error::DecodeError;

/// So many bytes of a token stand in its slot; of GPT-2's 50,257 tokens, 400 are longer.
const INLINE: usize = 15;
/// A slot is copied whole, one vector register, whatever the token's length.
const SLOT: usize = INLINE + 1;
/// Tags beyond the lengths of tokens in place.
const LONG: u8 = 254;
const UNKNOWN: u8 = 255;
/// Ids decoded into a buffer on the stack before their bytes are appended to the text.
const BATCH: usize = 32;
/// Room for so many at first: English has 4.2 with GPT-2's vocabulary, code 2.5 to 3.
const BYTES_A_TOKEN: usize = 5;
/// The table may have so many slots a token; ids beyond are looked up by hash.
const SLOTS_PER_TOKEN: usize = 4;

/// Decodes token ids: the inverse of an encoder over the same vocabulary.
///
/// A table by id holds short tokens in place, so that an id costs one look-up and one copy of 16
/// bytes, without a branch on the length.
pub struct BpeDecoder {
    /// By id: the bytes of a token, then their number, [`LONG`] or [`UNKNOWN`].
    slots: Vec<[u8; SLOT]>,
    /// The same for ids beyond the table: a vocabulary may hold any.
    far: HashMap<u32, [u8; SLOT]>,
    /// Tokens of more than [`INLINE`] bytes; their slots hold the place in here.
    long: Vec<Vec<u8>>,
    count: usize,
}

impl fmt::Debug for BpeDecoder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BpeDecoder")
            .field("tokens", &self.count)
            .finish_non_exhaustive()
    }
}

impl BpeDecoder {
    /// A decoder over `vocab`: any ids, in any order. Of an id given twice, the last token counts.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooManyLong`], which no vocabulary that fits memory gives.
    pub fn new<V, T>(vocab: V) -> Result<Self, DecodeError>
    where
        V: IntoIterator<Item = (u32, T)>,
        T: AsRef<[u8]>,
    {
        let mut long = Vec::new();
        let slots = vocab
            .into_iter()
            .map(|(token_id, token)| Ok((token_id, slot(token.as_ref(), &mut long)?)));
        let mut far = slots.collect::<Result<HashMap<_, _>, DecodeError>>()?;
        let count = far.len();
        let room = SLOTS_PER_TOKEN.saturating_mul(count);
        let near = far.extract_if(|&token_id, _| (token_id as usize) < room);
        let slots = table(near.collect());
        Ok(Self {
            slots,
            far,
            long,
            count,
        })
    }

    /// How many tokens there are.
    pub fn vocab_size(&self) -> usize {
        self.count
    }

    /// The bytes of all tokens, one after the other.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnknownToken`] for an id that the vocabulary does not hold.
    pub fn decode(&self, token_ids: &[u32]) -> Result<Vec<u8>, DecodeError> {
        let mut text = Vec::with_capacity(BYTES_A_TOKEN.saturating_mul(token_ids.len()));
        let mut buffer = [0; BATCH * SLOT];
        for batch in token_ids.chunks(BATCH) {
            let mut end = 0;
            for &token_id in batch {
                match self.slots.get(token_id as usize) {
                    Some(slot) if usize::from(slot[INLINE]) <= INLINE => {
                        // What follows the token's own bytes is overwritten by the next.
                        buffer[end..end + SLOT].copy_from_slice(slot);
                        end += usize::from(slot[INLINE]);
                    }
                    _ => {
                        text.extend_from_slice(&buffer[..end]);
                        text.extend_from_slice(self.bytes(self.slot(token_id)?));
                        end = 0;
                    }
                }
            }
            text.extend_from_slice(&buffer[..end]);
        }
        Ok(text)
    }

    /// How many bytes each token has.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnknownToken`] for an id that the vocabulary does not hold.
    pub fn lengths<'a>(
        &'a self,
        token_ids: &'a [u32],
    ) -> impl Iterator<Item = Result<usize, DecodeError>> + 'a {
        let length = |&token_id| Ok(self.bytes(self.slot(token_id)?).len());
        token_ids.iter().map(length)
    }

    /// The text of the ids, and for each token the character that its first byte belongs to.
    ///
    /// What is not UTF-8 becomes U+FFFD, as in [`String::from_utf8_lossy`].
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnknownToken`] for an id that the vocabulary does not hold.
    pub fn decode_with_offsets(
        &self,
        token_ids: &[u32],
    ) -> Result<(String, Vec<usize>), DecodeError> {
        let bytes = self.decode(token_ids)?;
        let mut ends = character_ends(&bytes).peekable();
        let (mut start, mut character) = (0, 0);
        let mut offsets = Vec::with_capacity(token_ids.len());
        for length in self.lengths(token_ids) {
            while ends.next_if(|&end| end <= start).is_some() {
                character += 1;
            }
            offsets.push(character);
            start += length?;
        }
        Ok((lossy(&bytes).into_owned(), offsets))
    }

    #[inline]
    fn slot(&self, token_id: u32) -> Result<&[u8; SLOT], DecodeError> {
        let near = self.slots.get(token_id as usize);
        match near.or_else(|| self.far.get(&token_id)) {
            Some(slot) if slot[INLINE] != UNKNOWN => Ok(slot),
            _ => Err(DecodeError::UnknownToken {
                token_id,
                count: self.count,
            }),
        }
    }

    fn bytes<'a>(&'a self, slot: &'a [u8; SLOT]) -> &'a [u8] {
        match length_in_place(slot) {
            Some(length) => &slot[..length],
            None => &self.long[place(slot)],
        }
    }
}

/// Bytes as text, what is not UTF-8 as U+FFFD: one for each maximal part of a character, as in
/// Python's `errors="replace"` and the Unicode standard (section 3.9, table 3-8).
pub(crate) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// Where in `bytes` each character of its lossy text ends.
fn character_ends(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let lengths = bytes.utf8_chunks().flat_map(|chunk| {
        let replaced = Some(chunk.invalid().len()).filter(|&length| length > 0);
        chunk.valid().chars().map(char::len_utf8).chain(replaced)
    });
    lengths.scan(0, |end, length| {
        *end += length;
        Some(*end)
    })
}

/// Writes a token's slot; a long token is put into `long`.
fn slot(token: &[u8], long: &mut Vec<Vec<u8>>) -> Result<[u8; SLOT], DecodeError> {
    let mut slot = [0; SLOT];
    if token.len() <= INLINE {
        slot[..token.len()].copy_from_slice(token);
        slot[INLINE] = token.len() as u8;
    } else {
        let place = u32::try_from(long.len()).map_err(|_| DecodeError::TooManyLong)?;
        slot[..4].copy_from_slice(&place.to_le_bytes());
        slot[INLINE] = LONG;
        long.push(token.to_vec());
    }
    Ok(slot)
}

/// The table of slots by id, with gaps where there is no token.
fn table(near: Vec<(u32, [u8; SLOT])>) -> Vec<[u8; SLOT]> {
    let length = near
        .iter()
        .map(|&(token_id, _)| token_id as usize + 1)
        .max();
    let mut unknown = [0; SLOT];
    unknown[INLINE] = UNKNOWN;
    let mut slots = vec![unknown; length.unwrap_or(0)];
    for (token_id, slot) in near {
        slots[token_id as usize] = slot;
    }
    slots
}

/// The length of a token that is held in place.
#[inline]
fn length_in_place(slot: &[u8; SLOT]) -> Option<usize> {
    Some(usize::from(slot[INLINE])).filter(|&length| length <= INLINE)
}

/// Where among the long tokens a slot's is.
fn place(slot: &[u8; SLOT]) -> usize {
    u32::from_le_bytes([slot[0], slot[1], slot[2], slot[3]]) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn token() -> impl Strategy<Value = Vec<u8>> {
        let text = prop::sample::select(vec!["", "a", " the", "é", "王", "🙂", "\u{fffd}"]);
        prop_oneof![
            text.prop_map(|text| text.as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..4),
            prop::collection::vec(any::<u8>(), 14..18),
        ]
    }

    fn token_id() -> impl Strategy<Value = u32> {
        prop_oneof![0..60_u32, any::<u32>(), Just(u32::MAX)]
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_tokens(
            vocab in prop::collection::btree_map(token_id(), token(), 1..60),
            chosen in prop::collection::vec(any::<prop::sample::Index>(), 0..200),
        ) {
            let decoder = BpeDecoder::new(vocab.clone()).unwrap();
            let known: Vec<u32> = vocab.keys().copied().collect();
            let token_ids: Vec<u32> = chosen.iter().map(|index| *index.get(&known)).collect();
            let tokens: Vec<_> = token_ids.iter().map(|token_id| &vocab[token_id]).collect();
            let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.iter().copied()).collect();
            let lengths: Result<Vec<usize>, _> = decoder.lengths(&token_ids).collect();
            prop_assert_eq!(decoder.decode(&token_ids).unwrap(), bytes);
            prop_assert!(lengths.unwrap().into_iter().eq(tokens.iter().map(|token| token.len())));
        }

        #[test]
        fn an_offset_is_the_character_that_holds_the_first_byte(
            tokens in prop::collection::vec(token(), 0..12),
        ) {
            let vocab: BTreeMap<u32, Vec<u8>> = (0..).zip(tokens).collect();
            let decoder = BpeDecoder::new(vocab.clone()).unwrap();
            let token_ids: Vec<u32> = vocab.keys().copied().collect();
            let bytes = vocab.values().flatten().copied().collect::<Vec<u8>>();
            let (text, offsets) = decoder.decode_with_offsets(&token_ids).unwrap();
            prop_assert_eq!(&text, &String::from_utf8_lossy(&bytes));
            // As many characters as begin at or before the byte, less one.
            let starts: Vec<usize> = [0].into_iter().chain(character_ends(&bytes)).collect();
            let mut at = 0;
            for (token, offset) in vocab.values().zip(offsets) {
                let theirs = starts.iter().filter(|&&start| start <= at).count() - 1;
                prop_assert_eq!(offset, theirs);
                at += token.len();
            }
        }

        #[test]
        fn characters_end_where_those_of_the_lossy_text_do(
            bytes in prop::collection::vec(token(), 0..12).prop_map(|tokens| tokens.concat()),
        ) {
            let ends: Vec<usize> = character_ends(&bytes).collect();
            let text = String::from_utf8_lossy(&bytes);
            prop_assert_eq!(ends.len(), text.chars().count());
            let starts = [0].into_iter().chain(ends.iter().copied());
            for ((start, &end), character) in starts.zip(&ends).zip(text.chars()) {
                let piece = String::from_utf8_lossy(&bytes[start..end]).into_owned();
                prop_assert_eq!(piece, character.to_string());
            }
        }
    }

    #[test]
    fn an_id_without_a_token_is_named() {
        let decoder = BpeDecoder::new([(1, "a"), (3, "b"), (1 << 30, "c")]).unwrap();
        assert_eq!(decoder.decode(&[3, 1, 1 << 30]).unwrap(), b"bac");
        for unknown in [0, 2, 4, 12, (1 << 30) - 1, u32::MAX] {
            let error = decoder.decode(&[1, unknown, 3]).unwrap_err();
            let message = format!("token id {unknown} is not in the vocabulary of 3 tokens");
            assert_eq!(error.to_string(), message);
        }
        assert!(BpeDecoder::new([(0, ""); 0]).unwrap().decode(&[0]).is_err());
    }

    #[test]
    fn far_ids_take_no_room_in_the_table() {
        let decoder = BpeDecoder::new([(0, "a"), (u32::MAX, "b")]).unwrap();
        assert_eq!((decoder.slots.len(), decoder.far.len()), (1, 1));
    }
}
