//! The tokens known so far: how long each is, and which pair comes first among equally frequent ones.

use std::cmp::Ordering;

use super::TieBreak;
use crate::error::TrainError;

/// What stands at a place: a token's id and one more, so that zeroed memory is all separators.
pub(super) type Symbol = u32;
/// Two adjacent tokens.
pub(super) type SymbolPair = (Symbol, Symbol);
/// Before the first pretoken and after each.
pub(super) const SEPARATOR: Symbol = 0;
/// Where the right one of two merged tokens began: no pair noted there is valid any more.
pub(super) const INSIDE: Symbol = Symbol::MAX;

/// So many bytes of a token are compared at once, as its key.
const KEY_BYTES: u32 = u64::BITS / 8;

#[derive(Clone, Copy, Debug, Default)]
struct Token {
    /// Where it stands in the text, in one of the pretokens that hold it.
    start: u32,
    length: u32,
    /// Orders tokens as the tie rule does; equal only where all bytes must be compared.
    key: u64,
}

/// By symbol.
#[derive(Debug)]
pub(super) struct Tokens {
    /// The byte at each place of the pretokens.
    text: Vec<u8>,
    tie_break: TieBreak,
    tokens: Vec<Token>,
}

impl Tokens {
    /// The separator and the bytes.
    pub(super) fn new(text: Vec<u8>, tie_break: TieBreak) -> Self {
        let separator = Token {
            length: 1,
            ..Token::default()
        };
        let mut tokens = vec![separator];
        tokens.extend((0..=u8::MAX).map(|byte| Token {
            start: 0,
            length: 1,
            key: match tie_break {
                TieBreak::Bytes => key_of(&[byte]),
                TieBreak::HuggingFace => !u64::from(alphabet_rank(byte)),
            },
        }));
        Self {
            text,
            tie_break,
            tokens,
        }
    }

    /// Gives a symbol to a token of so many bytes that stands at `start`.
    pub(super) fn push(&mut self, start: u32, length: u32) -> Result<Symbol, TrainError> {
        let symbol = Symbol::try_from(self.tokens.len()).unwrap_or(INSIDE);
        if symbol == INSIDE {
            return Err(TrainError::TooMany { what: "tokens" });
        }
        let bytes = &self.text[start as usize..][..length as usize];
        let key = match self.tie_break {
            TieBreak::Bytes => key_of(bytes),
            TieBreak::HuggingFace => !u64::from(symbol - 1),
        };
        self.tokens.push(Token { start, length, key });
        Ok(symbol)
    }

    /// Gives a symbol to a token that stands nowhere: nothing will ever be asked about it.
    pub(super) fn push_absent(&mut self) -> Result<Symbol, TrainError> {
        self.push(0, 0)
    }

    /// The symbol given last.
    pub(super) fn last(&self) -> Symbol {
        self.tokens.len() as Symbol - 1
    }

    #[inline]
    pub(super) fn length(&self, symbol: Symbol) -> u32 {
        self.tokens[symbol as usize].length
    }

    #[inline]
    pub(super) fn key(&self, symbol: Symbol) -> u64 {
        self.tokens[symbol as usize].key
    }

    /// Which of two tokens of equal keys comes first.
    pub(super) fn compare(&self, one: Symbol, other: Symbol) -> Ordering {
        let [a, b] = [one, other].map(|symbol| self.tokens[symbol as usize]);
        // One begins with the other if the key holds all of it, and if both began at one place. The
        // latter matters where a long pretoken is one token that grows with each merge.
        if a.length.min(b.length) <= KEY_BYTES || a.start == b.start {
            return a.length.cmp(&b.length);
        }
        self.bytes(one).cmp(self.bytes(other))
    }

    fn bytes(&self, symbol: Symbol) -> &[u8] {
        let Token { start, length, .. } = self.tokens[symbol as usize];
        &self.text[start as usize..][..length as usize]
    }
}

/// The first bytes, as a number that orders as they do.
fn key_of(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    let length = bytes.len().min(first.len());
    first[..length].copy_from_slice(&bytes[..length]);
    u64::from_be_bytes(first)
}

/// Where a byte stands in the alphabet that byte-level tokenizers of Hugging Face give their first
/// ids by: bytes that Latin-1 prints come first, as they are written, then all others.
fn alphabet_rank(byte: u8) -> u8 {
    let is_printed = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..);
    let before = |other: &u8| match (is_printed(*other), is_printed(byte)) {
        (printed, this) if printed == this => *other < byte,
        (printed, _) => printed,
    };
    (0..=u8::MAX).filter(before).count() as u8
}
